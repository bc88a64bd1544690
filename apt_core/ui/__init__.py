"""The page: one file, one tab. Nothing here (nor what it imports) loads torch; a test holds it to that."""

from apt_core.ui import stubs

stubs.leave_out()  # before any module of the page imports gradio
