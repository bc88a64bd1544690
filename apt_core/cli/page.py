"""No command at all: the page is opened in this process."""

from __future__ import annotations

import argparse
import gc

from apt_core.base.lazy import lazy
from apt_core.ui import port

page = lazy("apt_core.ui.launch")  # sets gradio's environment, then imports gradio


def run(options: argparse.Namespace) -> int:
    chosen = options.port or port.of_environment()  # before gradio is imported
    gc.disable()  # a tenth of the start would go into looking through what is only just imported; `launch` enables it
    try:
        page.launch(chosen)
    finally:
        gc.enable()
    return 0
