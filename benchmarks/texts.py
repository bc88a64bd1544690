"""Texts to measure on that come with the repository."""

from __future__ import annotations

import lzma
import tempfile
from functools import lru_cache
from pathlib import Path

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
