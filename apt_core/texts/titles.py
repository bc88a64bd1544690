"""Texts by the names that people use."""

from __future__ import annotations

from apt_core.base.words import file_title
from apt_core.texts.sources import TEXTS


def text_title(text: str) -> str:
    """The title of a text of the list; of a file its name, without the folder and the hash in front of it."""
    if text in TEXTS:
        return TEXTS[text].title
    return text if text.startswith("hub:") else file_title(text)
