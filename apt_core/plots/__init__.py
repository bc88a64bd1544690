"""One file, one figure: a RunRecord in, a plotly Figure (and its words) out. No gradio, no torch."""
