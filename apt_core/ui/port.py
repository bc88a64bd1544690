"""The default port of the page. No gradio: its import fails where GRADIO_SERVER_PORT is not a number."""

from __future__ import annotations

import os

from apt_core.base.errors import BadInput

DEFAULT = 7860


def of_environment() -> int:
    """GRADIO_SERVER_PORT, or 7860; raises BadInput where that is not a number."""
    stated = os.environ.get("GRADIO_SERVER_PORT") or str(DEFAULT)
    if not stated.isdecimal():
        raise BadInput(f"GRADIO_SERVER_PORT is {stated[:20]!r}; give the number of a port.")
    return int(stated)
