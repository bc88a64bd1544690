"""What people write on a run: a name, tags, a note, a pin. `runs/<id>/labels.json`, beside the run's job.

The file is the truth, so labels survive a lost index and a data folder that is moved; a run without the file has none.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from apt_core.base.errors import BadInput
from apt_core.base.values import Frozen

LONGEST_NAME = 80
LONGEST_TAG = 24
MOST_TAGS = 8
LONGEST_NOTE = 500
_FILE = "labels.json"
# They turn the direction of the text around them, also outside of the label.
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNREADABLE = ("Cc", "Cs", "Co", "Cn")  # control characters, halves of pairs, private and unknown ones
_log = logging.getLogger(__name__)


class Labels(Frozen):
    """Plain text in one line each; whoever draws it escapes it."""

    name: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    pinned: bool = Field(default=False, description="stays at the top of every list")

    @field_validator("name", "note", mode="before")
    @classmethod
    def _one_line(cls, value: Any) -> str:
        return plain(value)

    @field_validator("tags", mode="before")
    @classmethod
    def _each_once(cls, value: Any) -> tuple[str, ...]:
        given = value if isinstance(value, list | tuple) else ()
        each: dict[str, str] = {}
        for tag in (plain(text).lstrip("#").strip() for text in given):
            each.setdefault(tag.casefold(), tag)
        return tuple(tag for tag in each.values() if tag)

    def bounded(self) -> Labels:
        """The same labels; raises BadInput with one sentence where something is too long or too much."""
        for what, text, longest in (
            ("name", self.name, LONGEST_NAME),
            ("note", self.note, LONGEST_NOTE),
            *(("tag", tag, LONGEST_TAG) for tag in self.tags),
        ):
            if len(text) > longest:
                raise BadInput(f"A {what} has at most {longest} characters; this one has {len(text):,}.")
        if len(self.tags) > MOST_TAGS:
            raise BadInput(f"A run has at most {MOST_TAGS} tags; these are {len(self.tags)}.")
        return self


NONE = Labels()


def plain(value: Any) -> str:
    """One line of readable text: white space is one space, what cannot be seen is left out."""
    if not isinstance(value, str):
        return ""
    text = "".join(" " if each.isspace() else each for each in value)
    kept = (each for each in text if unicodedata.category(each) not in _UNREADABLE and each not in _TURNING)
    return " ".join("".join(kept).split())


def tags_of(text: str) -> tuple[str, ...]:
    """'paper, to show' -> ('paper', 'to show')."""
    return tuple(text.split(","))


def read(folder: Path) -> Labels:
    """None of them where nothing was written, or nothing that can be read."""
    try:
        text = (folder / _FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return NONE
    except (OSError, UnicodeDecodeError) as error:
        _log.warning("The labels of %s cannot be read: %s", folder.name, error)
        return NONE
    try:
        return Labels.model_validate_json(text, extra="ignore").bounded()
    except (ValidationError, BadInput) as error:
        _log.warning("The labels of %s cannot be read: %s", folder.name, error)
        return NONE


def write(folder: Path, labels: Labels) -> None:
    """In the place of the earlier ones, whole or not at all; raises BadInput, OSError."""
    labels.bounded()
    if labels == NONE:
        (folder / _FILE).unlink(missing_ok=True)
        return
    partial = folder / f"{_FILE}.part"
    try:
        partial.write_text(labels.model_dump_json(indent=2), encoding="utf-8")
        os.replace(partial, folder / _FILE)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
