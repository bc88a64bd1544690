"""A list of many runs reads and draws one page of them; 1,000 of a real model's size are listed within a second."""

from __future__ import annotations

import re
import time

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader

from apt_core.runs import store as store_module
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
    real = store_module.fold
    monkeypatch.setattr(store_module, "fold", lambda record, log: read.append(record.id) or real(record, log))
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
    """In a process that has just started, each the best of three, since other programs work here too."""
    begun = time.perf_counter()
    ids = many_runs(tmp_path, 1000, LAYERS_OF_SMOLLM2)
    made = time.perf_counter() - begun
    first = timed(lambda: runs.refresh(tab, studio_of(tmp_path)))
    fresh = min(timed(lambda: runs.refresh(tab, studio_of(tmp_path))) for _ in range(3))
    view = View(Query(search="wanda 2:4", sort="perplexity"))
    searched = min(timed(lambda: runs.refresh(tab, studio_of(tmp_path), view)) for _ in range(3))
    warm = studio_of(tmp_path)
    runs.refresh(tab, warm)
    polled = min(timed(lambda: runs.refresh(tab, warm)) for _ in range(3))
    compared = min(timed(lambda: compare(tmp_path, ids[::125])) for _ in range(3))
    with capsys.disabled():
        print(
            f"\n1,000 runs of {LAYERS_OF_SMOLLM2} layers (made in {made:.1f} s): first list {first:.2f} s, "
            f"after a start {fresh:.2f} s, searched {searched:.2f} s, polled {polled:.3f} s; "
            f"8 compared {compared:.2f} s"
        )
    assert max(fresh, searched, polled) < 1.0
    assert compared < 2.0


def compare(root, ids):
    studio = studio_of(root)
    assert len(ids) == 8 and compare_parts(studio, studio.compared(ids))


def timed(do) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun
