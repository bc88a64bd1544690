"""The port of the page when nobody names one. No gradio: its import fails where the environment names no number."""

from __future__ import annotations

import os

from apt_core.base.errors import BadInput

DEFAULT = 7860


def of_environment() -> int:
    """GRADIO_SERVER_PORT, or 7860; raises BadInput where that is no number."""
    stated = os.environ.get("GRADIO_SERVER_PORT") or str(DEFAULT)
    if not stated.isdecimal():
        raise BadInput(f"GRADIO_SERVER_PORT is {stated[:20]!r}; give the number of a port.")
    return int(stated)
