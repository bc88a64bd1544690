"""What was found along a model's depth, as the page shows it: payloads of charts, tables. No gradio."""

from __future__ import annotations

from contextlib import suppress

from apt_core.base.errors import PruneError
from apt_core.base.words import duration
from apt_core.measure.depth_values import BlocksAlone, Depth
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion
from apt_core.plots import inside_model
from apt_core.plots.chart import Sheet
from apt_core.reports.reproduce_look import look_again
from apt_core.runs.ids import is_run_id
from apt_core.ui.studio import Studio
from apt_core.ui.views.chart_payload import chart_table
from apt_core.ui.views.command import copied_block
from apt_core.ui.views.html import Markup

Asked = type[DepthQuestion] | type[BlocksAloneQuestion]
QUESTIONS: dict[str, Asked] = {"depth": DepthQuestion, "blocks-alone": BlocksAloneQuestion}


def payload(found: Depth | BlocksAlone) -> dict[str, str]:
    """What the chart shows."""
    drawn = inside_model.drawn_depth(found) if isinstance(found, Depth) else inside_model.drawn_alone(found)
    return {
        "figure": drawn.figure.to_json(),
        "title": drawn.title,
        "summary": drawn.summary,
        "file": f"{found.run}-{found.kind.replace('_', '-')}",
        "csv": f"studio/runs/{found.run}/{found.kind.replace('_', '-')}.csv",
    }


def numbers(found: Depth | BlocksAlone) -> Markup:
    """The same as a table, behind a line that opens it."""
    table = inside_model.depth_table(found) if isinstance(found, Depth) else inside_model.alone_table(found)
    return Markup(
        '<details class="folded"><summary>The same numbers as a table</summary>{}</details>'
    ).format(chart_table(table)) + _again(found)


def _again(found: Depth | BlocksAlone) -> Markup:
    """Nothing for a recorded sample, which no store has."""
    asked = DepthQuestion if isinstance(found, Depth) else BlocksAloneQuestion
    return copied_block(look_again(asked(run=found.run))) if is_run_id(found.run) else Markup("")


def sheet(studio: Studio, run_id: str, name: str) -> Sheet | None:
    """The numbers of 'depth' or 'blocks-alone' of this run; None where that was not looked for or is not for
    everybody."""
    found = None
    if name in QUESTIONS:
        with suppress(PruneError):
            found = studio.seen_inside(QUESTIONS[name](run=run_id))
    if isinstance(found, Depth):
        return inside_model.depth_sheet(found)
    return inside_model.alone_sheet(found) if isinstance(found, BlocksAlone) else None


def button(words: str, seconds: float | None, kept: bool) -> str:
    """'Follow the depth · about 25 s', 'Follow the depth · shown below'."""
    if kept:
        return f"{words} · shown below"
    return words if seconds is None else f"{words} · about {_rounded(seconds)}"


def _rounded(seconds: float) -> str:
    """An estimate is not exact to the second."""
    step = 5 if seconds < 60 else 30 if seconds < 600 else 60
    whole = max(step, round(seconds / step) * step)
    return f"{whole} s" if whole < 60 else duration(whole)
