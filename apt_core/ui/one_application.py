"""Gradio makes an application of a page when the page is begun, when its queue is set up, when it is complete, and once
more when it is served: only the last is ever asked. Each takes a third of the time that the page itself takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.routes import App

_MAKES, _DESCRIBES = "create_app", "get_config_file"


@contextmanager
def none_yet() -> Iterator[None]:
    """Around the building of a page that is mounted or launched afterwards."""
    make, describe = vars(App)["create_app"], gr.Blocks.get_config_file
    setattr(App, _MAKES, staticmethod(_nothing))
    setattr(gr.Blocks, _DESCRIBES, _nothing)
    try:
        yield
    finally:
        setattr(App, _MAKES, make)
        setattr(gr.Blocks, _DESCRIBES, describe)


def _nothing(*_: Any, **__: Any) -> None:
    """In place of an application, and of the description of a page that goes into it."""
