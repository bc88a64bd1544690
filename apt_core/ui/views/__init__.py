"""Pieces of the page as pure functions: values in, escaped HTML out. No gradio here."""
