"""A list of many runs reads and draws one page of them; 1,000 of a real model's size are listed within a second."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader

from apt_core.runs import records as records_module
from apt_core.runs.query import Query
from apt_core.runs.store import Store
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import runs
from apt_core.ui.tabs.runs import View
from apt_core.ui.views.compare_view import compare_parts
from tests.runs.many_runs import many_runs

LAYERS_OF_SMOLLM2 = 210


@pytest.fixture(scope="module")
def tab():
    with gr.Blocks():
        return runs.lay_out(runs.lay_out_order())


def studio_of(root):
    store = Store(root)
    return Studio(store, FakeLauncher(store), FakeReader(), {})


def test_only_the_page_that_is_drawn_is_read(tmp_path, tab, monkeypatch):
    ids = many_runs(tmp_path, 130, layers=2)
    runs.refresh(tab, studio_of(tmp_path))  # what lists know of them is kept from now on
    read = []
    real = records_module.fold
    monkeypatch.setattr(
        records_module, "fold", lambda record, log: read.append(record.id) or real(record, log)
    )
    view = View(Query(search="wanda", sort="perplexity"))
    table = runs.refresh(tab, studio_of(tmp_path), view)[tab.table]
    wandas = ids[1::4]
    assert re.findall(r'<tr data-run="([^"]+)"', table) == wandas
    assert set(read) == set(wandas), "those that are drawn, and no other"


def test_what_is_drawn_does_not_grow_with_the_list(tmp_path, tab):
    sizes = []
    for amount in (runs.PAGE + 10, 3 * runs.PAGE):
        many_runs(tmp_path / str(amount), amount, layers=1)
        sizes.append(len(runs.refresh(tab, studio_of(tmp_path / str(amount)))[tab.table]))
    assert abs(sizes[1] - sizes[0]) < 200


@pytest.mark.slow
def test_a_thousand_runs_are_listed_in_a_second_and_eight_compared_in_two(tmp_path, tab, capsys):
    """In processor time of this one thread, on a machine that does nothing else that is what somebody waits. "After
    a start": by a store that has read no log yet, the best of three, as are the next two."""
    ids = many_runs(tmp_path, 1000, LAYERS_OF_SMOLLM2)
    view = View(Query(search="wanda 2:4", sort="perplexity"))
    warm = studio_of(tmp_path)
    taken = {"first": timed(lambda: runs.refresh(tab, warm))}
    taken |= {
        what: min(timed(do) for _ in range(3))
        for what, do in {
            "after a start": lambda: runs.refresh(tab, studio_of(tmp_path)),
            "searched": lambda: runs.refresh(tab, studio_of(tmp_path), view),
            "polled": lambda: runs.refresh(tab, warm),
        }.items()
    }
    taken["8 compared"] = timed(lambda: compare(tmp_path, ids[::125]))
    with capsys.disabled():
        words = ", ".join(
            f"{what} {took.processor:.2f} s ({took.clock:.2f} by the clock)" for what, took in taken.items()
        )
        print(f"\n1,000 runs of {LAYERS_OF_SMOLLM2} layers: {words}")
    assert all(taken[what].processor < 1.0 for what in ("first", "after a start", "searched", "polled"))
    assert taken["8 compared"].processor < 2.0


def compare(root, ids):
    studio = studio_of(root)
    assert len(ids) == 8 and compare_parts(studio, studio.compared(ids))


class Took(NamedTuple):
    processor: float
    clock: float


def timed(do) -> Took:
    before = time.process_time(), time.perf_counter()
    do()
    return Took(time.process_time() - before[0], time.perf_counter() - before[1])
