"""Texts that visitors bring: checked, kept in a folder of their owner under their hash, named without paths."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from pathlib import Path

from apt_core.base.errors import BadInput, BadText, OverQuota
from apt_core.base.paths import data_dir
from apt_core.base.policy import LOCAL
from apt_core.runs.owners import HERE, Visitor
from apt_core.runs.quotas import Quotas
from apt_core.texts import check
from apt_core.texts.sources import TEXTS

PREFIX = "upload:"
MAX_BYTES = 10_000_000
_TOKEN = re.compile(r"upload:([0-9a-f]{12}-[A-Za-z0-9._-]{1,80}\.txt)")


def keep(path: str | Path, visitor: Visitor = HERE, quotas: Quotas = Quotas()) -> str:  # noqa: B008 - immutable
    """Copy an uploaded text into the folder of its owner; returns its token. Raises BadText, OverQuota."""
    path = Path(path)
    most = min(MAX_BYTES, int(1e6 * quotas.upload_mb)) if quotas.upload_mb is not None else MAX_BYTES
    if path.stat().st_size > most:
        raise BadText(f"{path.name} is larger than {most / 1e6:g} MB; cut it down to a part of the text.")
    raw = path.read_bytes()
    check.decoded(raw, path.name)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-")[:70] or "text"
    name = f"{hashlib.sha256(raw).hexdigest()[:12]}-{stem}.txt"
    sweep(quotas)
    folder = _folder_of(visitor)
    _check_room(folder, name, visitor, quotas)
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".{name}.part"
    half.write_bytes(raw)
    half.replace(folder / name)
    return PREFIX + name


def _check_room(folder: Path, name: str, visitor: Visitor, quotas: Quotas) -> None:
    if visitor.everything or quotas.uploads is None:
        return
    kept = {path.name for path in folder.glob("*.txt")}
    if name not in kept and len(kept) >= quotas.uploads:
        goes = f" ({quotas.upload_hours:g} hours after its last use)" if quotas.upload_hours else ""
        raise OverQuota(
            f"You have {len(kept)} uploaded texts here, and {quotas.uploads} are the most; choose one of them, or come "
            f"back when the oldest has gone{goes}."
        )


def sweep(quotas: Quotas) -> None:
    """Remove the texts of visitors that nobody has used for so long; those of this machine's own person stay."""
    if quotas.upload_hours is None:
        return
    oldest = time.time() - 3600 * quotas.upload_hours
    for path in (data_dir() / "uploads").glob("*/*.txt"):
        with contextlib.suppress(OSError):  # gone already
            if path.stat().st_mtime < oldest:
                path.unlink()


def text_for(value: object, visitor: Visitor = HERE) -> str:
    """What a job calls this text: a catalogue name or hub:<dataset> as it is, the file of the visitor's own upload.

    Raises BadInput for anything else, so that no path ever comes from the browser.
    """
    name = str(value or "").strip()
    if name in TEXTS or name.startswith("hub:"):
        return name  # a dataset of the Hub is checked where it is read
    if match := _TOKEN.fullmatch(name):
        path = _folder_of(visitor) / match[1]
        if path.is_file():
            with contextlib.suppress(OSError):
                os.utime(path)  # used just now
            return str(path)
        raise BadInput("The uploaded text is gone; upload it again.")
    raise BadInput(f"There is no text '{name[:60]}'; choose one of the list or upload a file.")


def token_for(text: str) -> str:
    """The token of an uploaded file's path; any other text as it is."""
    path, uploads = Path(text), data_dir() / "uploads"
    return PREFIX + path.name if uploads in (path.parent, path.parent.parent) else text


def title(token: str) -> str:
    """'upload:0123456789ab-notes.txt' -> 'notes.txt (yours)'."""
    return token.removeprefix(PREFIX)[13:] + " (yours)"


def _folder_of(visitor: Visitor) -> Path:
    """A folder for every owner, whose name says nothing about them."""
    uploads = data_dir() / "uploads"
    if visitor.name == LOCAL:
        return uploads
    return uploads / hashlib.sha256(visitor.name.encode()).hexdigest()[:20]
