"""A run that only measured a model is shown like any other: in the list, opened, and beside runs that pruned."""

from __future__ import annotations

import pytest

from apt_core import events as ev
from apt_core.jobs import make_job
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.views import parts
from apt_core.ui.views.runs_table import runs_table
from tests.ui.ui_helpers import NOW, FakeLauncher, FakeReader, FakeStore, evaluated, some_events

MEASURED, PRUNED = "20261124-100000-aaaa", "20261124-100000-bbbb"


@pytest.fixture
def studio():
    store = FakeStore()
    job = make_job("evaluate", model={"id": "tiny-random-llama"}, evaluation=[{"text": "wikipedia"}])
    loaded = some_events("loaded")[2]
    done = ev.Finished(seconds={"total": 1.0}, peak_rss_bytes=1)
    store.put(MEASURED, [ev.Queued(), ev.Started(pid=1), loaded, evaluated("model", 12.5), done], job)
    store.put(PRUNED, some_events())
    return Studio(store, FakeLauncher(store), FakeReader(), {})


def test_it_is_a_row_of_the_list(studio):
    said = str(runs_table(studio.known_runs(), lambda name: name, NOW))
    assert "Perplexity" in said and "12.5" in said and MEASURED in said


def test_it_can_be_opened_and_does_not_disturb_the_others(studio):
    opened = parts.parts(studio, studio.record(MEASURED))
    assert "has a perplexity of 12.5 on " in opened["headline"]
    assert "Perplexity · wikipedia" in opened["headline"] and "wikipedia" in opened["provenance"].lower()
    assert parts.parts(studio, studio.record(PRUNED))["headline"]


def test_there_is_nothing_to_prune_again(studio):
    class Seen:
        run = MEASURED

    class Page:
        class result:
            note = "note"

    said = explore_tab.choose_the_same(Page, studio, Seen)
    assert "only measured a model" in said["note"]
