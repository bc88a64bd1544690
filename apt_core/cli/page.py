"""No command at all: the page is opened in this process."""

from __future__ import annotations

import argparse

from apt_core.base.lazy import lazy

page = lazy("apt_core.ui.launch")  # sets gradio's environment, then imports gradio


def run(options: argparse.Namespace) -> int:
    page.launch(options.port)
    return 0
