"""Texts by the names that people use."""

from __future__ import annotations

import re

from apt_core.texts.sources import TEXTS


def text_title(text: str) -> str:
    """The title of a text of the list; of a file its name, without the folder and the hash in front of it."""
    if text in TEXTS:
        return TEXTS[text].title
    return re.sub(r"^[0-9a-f]{12}-", "", text.replace("\\", "/").rsplit("/", 1)[-1]) if "/" in text else text
