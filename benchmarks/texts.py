"""Texts to measure on that every machine with Python has."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path


@lru_cache
def as_file(text: str) -> str:
    """What the command line takes: `python-docs` as a file, any other name as it is."""
    if text != "python-docs":
        return text
    from pydoc_data.topics import topics  # the language reference, half a megabyte of another kind of English

    file = Path(tempfile.mkdtemp(prefix="apt-text-")) / "python-docs.txt"
    file.write_text("\n\n".join(topics[name] for name in sorted(topics)))
    return str(file)
