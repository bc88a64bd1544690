"""A chart that keeps its zoom: one element for its whole life, redrawn with Plotly.react.

gr.Plot of Gradio 6 makes a new element for every value, which throws away zoom and hidden traces, and
brings plotly.js 3 where plotly.py speaks 4; so the page draws with the plotly.js of the installed plotly.
"""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import gradio as gr

from apt_core.records import RunRecord

_TEMPLATE = """
<figure class="chart" data-name="">
  <div class="chart-head">
    <h3 class="chart-title"></h3>
    <div class="chart-tools" role="group" aria-label="Download the chart">
      <button type="button" class="quiet-button" data-tool="reset" hidden>Whole chart</button>
      <button type="button" class="quiet-button" data-tool="svg">SVG</button>
      <button type="button" class="quiet-button" data-tool="png">PNG</button>
      <a class="quiet-button" data-tool="csv" download hidden>CSV</a>
    </div>
  </div>
  <div class="chart-host" role="img"></div>
  <p class="chart-readout" role="status" hidden></p>
  <figcaption class="chart-summary"></figcaption>
</figure>
"""

from gradio.events import Dependency

class Chart(gr.HTML):
    """Its value is what `drawing.drawing` returns."""

    def __init__(self, **options: Any):
        super().__init__(
            html_template=_TEMPLATE,
            js_on_load="window.aptStudio.chart(element, props, watch);",
            apply_default_css=False,
            **options,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "a chart"}
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


def drawing(plot: ModuleType, record: RunRecord, name: str, csv: str = "") -> dict[str, Any]:
    """A figure of `apt_core.plots` with its words, as the browser needs it. `csv`: address of the numbers."""
    return {
        "figure": json.loads(plot.figure(record).to_json()),
        "title": plot.title(record),
        "summary": plot.summary(record),
        "file": f"{record.id}-{name}",
        "csv": csv,
    }