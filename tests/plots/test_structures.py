"""The chart of what went of a model that became smaller."""

from __future__ import annotations

import apt_core
from apt_core.events import Narrowed, Shrunk
from apt_core.events.records import RunRecord
from apt_core.plots import charts_of, structures
from apt_core.plots.chart import RunSet


def shown(method="depth", **more):
    fields = {
        "blocks": 4,
        "kept": (0, 2, 3),
        "dense_parameters": 800,
        "parameters": 600,
        "share": 0.25,
    } | more
    job = apt_core.plan("tiny-llama", method, 0.25)
    return RunSet(RunRecord(id="r", job=job, shrunk=Shrunk(**fields)))


def test_blocks_and_their_scores():
    runs = shown(score="Block Influence", scores=(1.0, 0.1, None, 0.3))
    assert structures.title(runs) == "1 of 4 blocks went: 800 parameters became 600"
    assert "these went: 1. Their scores are the lowest (Block Influence)." in structures.summary(runs)
    assert structures.sheet(runs).rows[1] == (1, "Block Influence", 0.1, True)
    by_name = {trace.name: list(trace.x) for trace in structures.figure(runs).data}
    assert by_name == {"stays": [0, 2, 3], "removed": [1]}
    assert structures.table(runs).rows[2].cells == ("2", "Block Influence", "–", "stays")


def test_the_last_blocks_need_no_score():
    runs = shown(kept=(0, 1, 2))
    assert [list(trace.y) for trace in structures.figure(runs).data] == [[1.0, 1.0, 1.0], [0.0]]
    assert structures.summary(runs) == "Of 4 blocks these went: 3."


def test_narrower_blocks_and_what_they_lost():
    width = Narrowed(name="MLP channels", before=16, after=8, lost=(0.1, 0.2, 0.3, 0.4))
    runs = shown("llm-pruner", kept=(0, 1, 2, 3), widths=(width,))
    assert structures.title(runs).startswith("Every block is narrower")
    assert "8 of 16 MLP channels stay in every block, which lost 10% to 40%" in structures.summary(runs)
    assert list(structures.figure(runs).data[0].y) == [0.1, 0.2, 0.3, 0.4]


def test_blocks_of_different_widths_say_how_many_each_has():
    width = Narrowed(
        name="attention heads", before=9, after=3, lost=(0.0, 0.4, 0.6, 0.0), by_block=(9, 6, 3, 9)
    )
    runs = shown("llm-pruner", kept=(0, 1, 2, 3), widths=(width,), uneven=True)
    assert structures.title(runs).startswith("Blocks differ in width")
    assert "3 to 9 of 9 attention heads stay in a block, which lost 0% to 60%" in structures.summary(runs)
    fates = [row.cells[3] for row in structures.table(runs).rows]
    assert fates == ["9 of 9 stay", "6 of 9 stay", "3 of 9 stay", "9 of 9 stay"]


def test_a_smaller_model_has_no_chart_of_layer_errors():
    assert {chart.name for chart in charts_of(shown())} >= {"structures"}
    assert "layers" not in {chart.name for chart in charts_of(shown())}
