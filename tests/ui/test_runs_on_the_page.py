"""The Runs tab: finding, labelling, deleting and having back; pages of a long list; and whose runs they are."""

from __future__ import annotations

import re

import gradio as gr
import pytest
from ui_helpers import NOW, FakeLauncher, FakeReader, FakeStore, a_recipe, a_record, some_events

from apt_core.runs.hiding import Hidden
from apt_core.runs.labels import Labels
from apt_core.runs.query import Query
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import runs
from apt_core.ui.tabs.runs import Click, View
from apt_core.ui.views.runs_bars import pager, undo_bar
from apt_core.ui.views.runs_table import runs_table

RUN, OTHER = "20261124-100000-abcd", "20261124-110000-abcd"
NASTY = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def studio(store):
    return Studio(store, FakeLauncher(store), FakeReader(), {})


@pytest.fixture(scope="module")
def tab():
    with gr.Blocks():
        return runs.lay_out(runs.lay_out_order())


def click(**data):
    return Click.of(gr.EventData(None, data))


def act(tab, studio, view=View(), **data):  # noqa: B008
    return runs.act(tab, studio, click(**data), view)


def shown(updates, tab):
    """The runs of the table, top to bottom."""
    return re.findall(r'<tr data-run="([^"]+)"', updates[tab.table])


# ---- stopping and deleting


def test_runs_can_be_stopped_and_deleted_and_say_why_not(studio, store, tab):
    store.put(RUN, some_events("layers"))
    refused = act(tab, studio, action="delete", run=RUN)
    assert "cancel it first" in refused[tab.note].lower() and refused[tab.timer].active is True
    act(tab, studio, action="cancel", run=RUN)
    assert store.cancelled == [RUN]
    store.put(RUN, some_events())
    assert "No runs yet" in act(tab, studio, action="delete", run=RUN)[tab.table]
    assert "There is no run" in act(tab, studio, action="delete", run=RUN)[tab.note]


def test_ticked_runs_are_deleted_together_and_come_back_together(studio, store, tab):
    for run_id in (RUN, OTHER):
        store.put(run_id, some_events())
    gone = act(tab, studio, action="delete", runs=f"{RUN},{OTHER}")
    assert shown(gone, tab) == [] and "2 runs are deleted." in gone[tab.undo]
    assert f'data-runs="{RUN},{OTHER}"' in gone[tab.undo] and gone[tab.timer].active is True
    back = act(tab, studio, action="undo", runs=f"{RUN},{OTHER}")
    assert set(shown(back, tab)) == {RUN, OTHER} and back[tab.undo] == "" and back[tab.note] == ""
    late = act(tab, studio, action="undo", runs=RUN)
    assert "more than a minute ago and cannot be brought back" in late[tab.note]


def test_one_that_still_runs_keeps_all_that_are_ticked(studio, store, tab):
    store.put(RUN, some_events())
    store.put(OTHER, some_events("layers"))
    refused = act(tab, studio, action="delete", runs=f"{RUN},{OTHER}")
    assert refused[tab.note] and set(shown(refused, tab)) == {RUN, OTHER} and refused[tab.undo] == ""


# ---- labels


def test_a_run_is_named_and_found_by_it(studio, store, tab):
    store.put(RUN, some_events())
    store.put(OTHER, some_events())
    written = {"name": "The best", "tags": "paper, to show", "note": "of Tuesday", "pinned": True}
    updates = act(tab, studio, action="label", run=RUN, **written)
    assert store.labels[RUN] == Labels(
        name="The best", tags=("paper", "to show"), note="of Tuesday", pinned=True
    )
    assert shown(updates, tab) == [RUN, OTHER], "pinned ones first"
    assert 'data-action="open">The best</a>' in updates[tab.table] and "Tiny &lt;b&gt;" in updates[tab.table]
    found = runs.refresh(tab, studio, View(Query(search="#paper tuesday")))
    assert shown(found, tab) == [RUN]
    act(tab, studio, action="label", run=RUN, name="", tags="", note="", pinned="yes")
    assert store.labels[RUN] == Labels()


def test_a_label_that_is_too_long_is_a_sentence(studio, store, tab):
    store.put(RUN, some_events())
    assert "A name has at most 80" in act(tab, studio, action="label", run=RUN, name="x" * 81)[tab.note]
    assert store.labels == {}


def test_what_visitors_write_stays_text():
    labels = Labels(name=NASTY, tags=(NASTY,), note=NASTY)
    html = runs_table([a_record()], str, NOW, labels={RUN: labels})
    assert "<img" not in html and html.count("&lt;img") >= 5


# ---- finding


def test_a_search_that_finds_nothing_says_so(studio, store, tab):
    store.put(RUN, some_events())
    updates = runs.refresh(tab, studio, View(Query(search="xyzzy")))
    assert "No run is like that" in updates[tab.table] and "No runs yet" not in updates[tab.table]


def test_the_models_that_there_are_can_be_chosen(studio, store, tab):
    store.put(RUN, some_events())
    title = "Tiny <b>Llama</b>"
    arrived = runs.arrive(tab, studio, View(Query(model=title)))
    assert arrived[tab.find["model"]]["choices"] == [("Any", ""), (title, title)]
    assert arrived[tab.find["model"]]["value"] == title and shown(arrived, tab) == [RUN]
    gone = runs.arrive(tab, studio, View(Query(model="deleted since")))
    assert gone[tab.find["model"]]["value"] == "" and shown(gone, tab) == [RUN]
    assert (arrived[tab.find["sort"]], gone[tab.find["sort"]]) == ("newest", "newest")


def test_the_list_is_in_the_order_that_was_chosen_last(studio, store, tab):
    for run_id in (RUN, OTHER):
        store.put(run_id, some_events())
    store.label(OTHER, name="zz")
    for order, first in (("name", RUN), ("newest", OTHER), ("colour", OTHER), (None, OTHER)):
        arrived = runs.arrive(tab, studio, View(), order)
        assert shown(arrived, tab)[0] == first
        assert arrived[tab.find["sort"]] == (order if order == "name" else "newest")


@pytest.mark.parametrize(
    "values",
    [("a", "", "", "", "newest", 0), ("a", "x", None, 3, "colour", "9"), ("a", [], {}, 1.5, "", None)],
)
def test_whatever_the_browser_sends_is_a_view(tab, values):
    view = View.of(tab, values)
    assert view.query.search == "a" and view.page == 0


def test_every_control_is_a_field_of_the_query(tab):
    assert set(tab.find) == set(Query.model_fields) - {"tag"}


# ---- many


def test_a_long_list_is_drawn_a_page_at_a_time(studio, store, tab):
    ids = [f"20261124-{number:06}-abcd" for number in range(120)]
    for run_id in ids:
        store.put(run_id, some_events("queued"))
    first = runs.refresh(tab, studio)
    assert len(shown(first, tab)) == runs.PAGE and "Runs 1 to 50 of 120" in first[tab.table]
    last = act(tab, studio, action="page", page="2")
    assert len(shown(last, tab)) == 20 and "Runs 101 to 120 of 120" in last[tab.table]
    everything = [run for page in range(3) for run in shown(runs.refresh(tab, studio, View(page=page)), tab)]
    assert sorted(everything) == ids and len(set(everything)) == 120
    beyond = runs.refresh(tab, studio, View(page=99))
    assert beyond[tab.page] == 2, "a page that is not there is the last one"
    assert act(tab, studio, action="page", page="-1")[tab.page] == 0


def test_the_pager_is_there_only_where_it_turns_something():
    assert pager(0, 50, 50) == "" and "disabled" in pager(0, 50, 51)
    assert pager(1, 50, 51).count("disabled") == 1 and 'data-page="0"' in pager(1, 50, 51)


def test_the_undo_bar_speaks_of_the_last_deletion_alone(store):
    older, newer = Hidden(RUN, 1000, "", None), Hidden(OTHER, 2000, "", None)
    assert f'data-runs="{OTHER}"' in undo_bar([newer, older]) and "One run is deleted." in undo_bar([newer])
    assert undo_bar([]) == ""


# ---- the table


def test_rows_of_one_recipe_are_told_apart():
    """By what was read, how much of it and the seed."""
    recipe = a_recipe(seed=7, calibration={"text": "wiki-sample", "samples": 64, "length": 256})
    html = runs_table([a_record(recipe=recipe)], str, NOW)
    assert "Wikipedia summaries, bundled sample, Wikipedia summaries · 64\u00a0×\u00a0256 · seed 7" in html


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"action": "label"},
        {"action": "delete", "run": "../x"},
        {"action": "delete", "runs": f"{RUN},../x"},
        {"action": "undo", "runs": ["a"]},
        {"action": "eval", "run": RUN},
    ],
)
def test_clicks_that_are_none_do_nothing(data):
    assert click(**data) == Click()
    assert Click.of(gr.EventData(None, "x")) == Click()
