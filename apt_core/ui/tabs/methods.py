"""The Methods tab: what each method does, from the registry. Nothing to press."""

from __future__ import annotations

import gradio as gr

from apt_core.ui.views.methods_page import methods_page


def lay_out() -> None:
    gr.HTML(str(methods_page()), elem_id="methods", apply_default_css=False)
