"""Figures along the depth: they hold the numbers, and titles say only what a test finds."""

from __future__ import annotations

import json
import random

import pytest

from apt_core.measure.depth_values import AfterBlock, BlocksAlone, Depth
from apt_core.plots.findings import lone_value, trend_of
from apt_core.plots.inside_model import alone_table, depth_table, drawn_alone, drawn_depth
from apt_core.plots.palette import swap


def a_depth(errors):
    blocks = tuple(
        AfterBlock(
            block=b, relative_error=error, median_error=error / 2, cosine=1 - error / 4, divergence=error * 3
        )
        for b, error in enumerate(errors)
    )
    return Depth(
        run="r", text="wikipedia", windows=4, length=256, positions=256, blocks=blocks, top1=0.75, seconds=1
    )


def some_alone(increases, dense=3.0):
    losses = tuple(dense + one for one in increases)
    return BlocksAlone(
        run="r", text="wikipedia", windows=2, length=256, dense=dense, pruned=4.0, losses=losses, seconds=1
    )


def test_every_number_is_in_the_figure_and_in_the_table():
    errors = [0.01, 0.02, 0.04, 0.0]
    found = a_depth(errors)
    traces = {trace.name: list(trace.y) for trace in drawn_depth(found).figure.data}
    assert traces["all tokens"] == [0.01, 0.02, 0.04, None]  # an exact zero has no logarithm
    assert traces["cosine"] == [one.cosine for one in found.blocks]
    assert traces["KL"] == [one.divergence for one in found.blocks]
    assert [row.cells[0] for row in depth_table(found).rows] == ["0", "1", "2", "3"]
    alone = some_alone([0.2, -0.1, 0.3])
    (bars,) = drawn_alone(alone).figure.data
    assert list(bars.y) == pytest.approx([0.2, -0.1, 0.3])
    assert [row.cells[3] for row in alone_table(alone).rows] == ["40%", "0%", "60%"]


def test_titles_say_what_a_test_finds_and_nothing_else():
    assert drawn_depth(a_depth([0.01 * 2**b for b in range(8)])).title == (
        "The error of hidden states grows 128-fold from block 0 to 7"
    )
    assert drawn_depth(a_depth([0.02, 0.01, 0.02, 0.01, 0.02, 0.01])).title == "Where the models diverge"
    noise = random.Random(3)
    assert drawn_alone(some_alone([noise.uniform(0.01, 0.02) for _ in range(30)])).title.startswith(
        "What each"
    )
    far = [0.4, *(noise.uniform(0.01, 0.02) for _ in range(29))]
    assert drawn_alone(some_alone(far)).title.startswith("Block 0 alone costs far more than any other")


@pytest.mark.parametrize("drawn", [drawn_depth(a_depth([0.1, 0.2])), drawn_alone(some_alone([0.1, 0.2]))])
def test_colours_are_of_the_palette_so_that_the_page_can_turn_them_dark(drawn):
    known = {shade.upper() for pair in swap().items() for shade in pair}
    figure = json.loads(drawn.figure.to_json())
    figure["layout"].pop("template", None)
    found = {part[:7].upper() for part in json.dumps(figure).split('"') if part.startswith("#")}
    assert found and found <= known


def test_a_model_of_one_block_or_without_any_difference_is_drawn():
    assert drawn_depth(a_depth([0.0])).summary.endswith(".")
    assert drawn_alone(some_alone([0.0])).title.startswith("What each")


def test_the_rules_themselves():
    assert trend_of({}) is None and trend_of({0: 1.0, 1: 2.0}) is None
    assert (
        lone_value([1, 1, 1, 1]) is None and lone_value([5.0] * 9 + [50.0]) is None
    )  # no spread to judge by
    assert lone_value([1.0, 1.1, 0.9, 1.05, 9.0]) == 4 and lone_value([1.0, 1.1, 0.9, 9.0, 9.5, 1.05]) is None
