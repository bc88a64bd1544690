"""The controls of the page in English, German and Chinese, by Gradio's own i18n.

The key of a text is the text itself, in English: `assets/ui/languages/<language>.json`. The browser chooses by its own
language. Only what Gradio draws is translated (labels, hints, placeholders, buttons, tabs, choices); what the server
writes as HTML, reports and the command line are English. A text without a key, as of a package from outside, stays as
it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import gradio as gr

from apt_core.base.paths import ASSETS

LANGUAGES = ("en", "de", "zh")
_FOLDER = ASSETS / "ui" / "languages"
_SAID = ("label", "info", "placeholder")
_BUTTONS = (gr.Button, gr.UploadButton)


@lru_cache(maxsize=len(LANGUAGES))
def words(language: str) -> dict[str, str]:
    """English text -> the same in this language."""
    return json.loads((_FOLDER / f"{language}.json").read_text("utf-8"))


def i18n() -> gr.I18n:
    return gr.I18n(**{language: words(language) for language in LANGUAGES})


def mark(page: gr.Blocks) -> None:
    """Let the browser translate every text of the page that has a key: in one place, so that no text is missed."""
    known, translate = words("en"), gr.I18n()
    for block in page.blocks.values():
        for name, text in said(block):
            if text in known:
                setattr(block, name, translate(text))
        if choices := getattr(block, "choices", None):
            marked = [(translate(title) if title in known else title, value) for title, value in choices]
            setattr(block, "choices", marked)  # noqa: B010 - only some blocks have it


def said(block: Any) -> Iterator[tuple[str, str]]:
    """(attribute, text) of what a component says beside its value; of a button, what is on it."""
    names = (*_SAID, "value") if isinstance(block, _BUTTONS) else () if isinstance(block, gr.HTML) else _SAID
    for name in names:
        text = getattr(block, name, None)
        if isinstance(text, str) and text:
            yield name, text
