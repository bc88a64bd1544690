"""No command at all: the page is opened in this process."""

from __future__ import annotations

import argparse


def run(options: argparse.Namespace) -> int:
    from apt_core.ui.launch import launch  # sets gradio's environment before it imports gradio

    launch(options.port)
    return 0
