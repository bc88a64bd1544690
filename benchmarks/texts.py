"""Texts to measure on that come with the repository."""

from __future__ import annotations

import hashlib
import lzma
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Literal

PYTHON_DOCS = (
    Path(__file__).parent / "python-docs.txt.xz"
)  # the language reference of Python 3.11, kept as it was


@lru_cache
def as_file(text: str) -> str:
    """What the command line takes: `python-docs` as a file, any other name as it is."""
    if text != "python-docs":
        return text
    file = Path(tempfile.mkdtemp(prefix="apt-text-")) / "python-docs.txt"
    file.write_bytes(lzma.decompress(PYTHON_DOCS.read_bytes()))
    return str(file)


def digest(text: str, part: Literal["calibration", "evaluation"]) -> str:
    """The sha256 of what a run reads of a text: a name, a file, or a dataset of the Hub."""
    from apt_core.base.policy import PRIVATE
    from apt_core.texts.sources import load_text

    return hashlib.sha256(load_text(as_file(text), part, policy=PRIVATE).encode()).hexdigest()


def commit() -> str:
    """The commit of this repository, with + where files differ from it; empty outside of git."""
    asked = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    return subprocess.run(asked, cwd=PYTHON_DOCS.parent, capture_output=True, text=True).stdout.strip()
