"""Texts that visitors bring: checked, kept under their content's hash, and named without paths."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from apt_core.base.errors import BadInput, BadText
from apt_core.base.paths import data_dir
from apt_core.texts import check
from apt_core.texts.sources import TEXTS

PREFIX = "upload:"
MAX_BYTES = 10_000_000
_TOKEN = re.compile(r"upload:([0-9a-f]{12}-[A-Za-z0-9._-]{1,80}\.txt)")


def keep(path: str | Path) -> str:
    """Copy an uploaded text into data_dir()/uploads; returns its token. Raises BadText."""
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise BadText(
            f"{path.name} is larger than {MAX_BYTES // 1_000_000} MB; cut it down to a part of the text."
        )
    raw = path.read_bytes()
    check.decoded(raw, path.name)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-")[:70] or "text"
    name = f"{hashlib.sha256(raw).hexdigest()[:12]}-{stem}.txt"
    folder = data_dir() / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".{name}.part"
    half.write_bytes(raw)
    half.replace(folder / name)
    return PREFIX + name


def text_for(value: object) -> str:
    """What a job calls this text: a catalogue name or hub:<dataset> as it is, the file of an upload token.

    Raises BadInput for anything else, so that no path ever comes from the browser.
    """
    name = str(value or "").strip()
    if name in TEXTS or name.startswith("hub:"):
        return name  # a dataset of the Hub is checked where it is read
    if match := _TOKEN.fullmatch(name):
        path = data_dir() / "uploads" / match[1]
        if path.is_file():
            return str(path)
        raise BadInput("The uploaded text is gone; upload it again.")
    raise BadInput(f"There is no text '{name[:60]}'; choose one of the list or upload a file.")


def token_for(text: str) -> str:
    """The token of an uploaded file's path; any other text as it is."""
    path = Path(text)
    return PREFIX + path.name if path.parent == data_dir() / "uploads" else text


def title(token: str) -> str:
    """'upload:0123456789ab-notes.txt' -> 'notes.txt (yours)'."""
    return token.removeprefix(PREFIX)[13:] + " (yours)"
