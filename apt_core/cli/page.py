"""`serve`: the page is opened in this process."""

from __future__ import annotations

import argparse
import gc
from importlib.util import find_spec

from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.ui import port

page = lazy("apt_core.ui.launch")  # sets gradio's environment, then imports gradio


def run(options: argparse.Namespace) -> int:
    stated = options.port
    chosen = (
        port.of_environment() if stated is None else port.numbered(stated, "--port")
    )  # before gradio is imported
    if find_spec("gradio") is None:
        raise BadInput("The page needs the packages of the extra 'ui': pip install '.[ui]'.")
    gc.disable()  # a tenth of the start would go into looking through what is only just imported; `launch` enables it
    try:
        page.launch(chosen)
    finally:
        gc.enable()
    return 0
