"""The default port of the page. No gradio: its import fails where GRADIO_SERVER_PORT is not a number."""

from __future__ import annotations

import os

from apt_core.base.errors import BadInput

DEFAULT = 7860


def of_environment() -> int:
    """GRADIO_SERVER_PORT, or 7860; raises BadInput where that is not a number."""
    return numbered(os.environ.get("GRADIO_SERVER_PORT") or str(DEFAULT), "GRADIO_SERVER_PORT")


def numbered(stated: str, name: str) -> int:
    """The number of a port; raises BadInput for what is none. name: of the variable or flag that states it."""
    if not (stated.isdecimal() and stated.isascii()):
        raise BadInput(f"{name} is {stated[:20]!r}; give the number of a port.")
    if not 1 <= int(stated[:9]) <= 65535:
        raise BadInput(f"{name} must be a port from 1 to 65535 (not {stated[:20]}).")
    return int(stated)
