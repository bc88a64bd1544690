"""A chart that keeps its zoom: one element for its whole life, redrawn with Plotly.react; its table, its note and its
downloads are part of it.

gr.Plot of Gradio 6 makes a new element for every value, which throws away zoom and hidden traces, and
brings plotly.js 3 where plotly.py speaks 4; so the page draws with the plotly.js of the installed plotly.
"""

from __future__ import annotations

import gradio as gr

_TEMPLATE = """
<figure class="chart" data-shown="no">
  <div class="chart-head">
    <h3 class="chart-title"></h3>
    <button type="button" class="quiet-button" data-tool="reset" hidden>Whole chart</button>
    <details class="more">
      <summary aria-label="Download this chart, or its table">&hellip;</summary>
      <div class="menu">
        <button type="button" data-tool="table" hidden>Show as a table</button>
        <button type="button" data-tool="svg">SVG</button>
        <button type="button" data-tool="png">PNG</button>
        <a data-tool="csv" download hidden>CSV</a>
      </div>
    </details>
  </div>
  <div class="chart-host" role="img"></div>
  <p class="chart-readout" role="status" hidden></p>
  <figcaption class="chart-summary"></figcaption>
  <div class="chart-note"></div>
  <div class="chart-table" hidden></div>
</figure>
"""


def chart(elem_id: str) -> gr.HTML:
    """An empty chart; its value is what `chart_payload` gives."""
    return gr.HTML(
        None,
        html_template=_TEMPLATE,
        js_on_load="window.aptStudio.chart(element, props, watch);",
        apply_default_css=False,
        elem_id=elem_id,
    )
