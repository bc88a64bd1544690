"""Compare with rounding on the page: one press queues what is missing, and the chart of sizes awaits it."""

from __future__ import annotations

import re

import gradio as gr
import pytest
from ui_helpers import ANN, BOB, FakeLauncher, FakeReader, FakeStore, evaluated, some_events

from apt_core import events as ev
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE, HostPolicy
from apt_core.jobs import make_job
from apt_core.runs.quotas import Quotas
from apt_core.ui import lately as lately_module
from apt_core.ui.acting import acting_for
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import rounding
from apt_core.ui.views.run_view import ViewState, shows

RUN = "20261124-100000-abcd"
JOB = make_job("prune", model={"id": "tiny-random-llama"}, method="apt", evaluation={"text": "wiki-sample"})


def with_losses(event):
    if not isinstance(event, ev.Evaluated):
        return event
    losses = tuple(2.0 + 0.1 * n for n in range(event.windows))
    return event.model_copy(update={"losses": losses, "text": "wiki-sample"})


def a_run(owner="local"):
    *events, last = map(with_losses, some_events(owner=owner))
    sizes = (("dense", 2_000_000, 2_000_000), ("pruned", 2_000_000, 1_100_000))
    counted = [
        ev.Sized(subject=subject, on_disk=disk, compressed=1, packed=packed, resident=disk, zstd_level=3)
        for subject, disk, packed in sizes
    ]
    return [*events, *counted, last]


def measured(bits):
    """The events of one of the queued runs."""
    found = ev.Rounded(
        bits=bits,
        group=128,
        scheme="symmetric",
        weights=9,
        bits_per_weight=bits + 0.125,
        n_bytes=130_000 * bits,
        packed_bytes=80_000 * bits,
    )
    return [*some_events("loaded")[:3], found, with_losses(evaluated("model", 21.0)), some_events()[-1]]


@pytest.fixture
def store():
    store = FakeStore(ASSETS / "models" / "tiny-random-llama")
    store.put(RUN, a_run(), JOB)
    return store


@pytest.fixture
def studio(store, monkeypatch):
    monkeypatch.setattr(lately_module, "LATELY_SECONDS", -1)
    return Studio(store, FakeLauncher(store), FakeReader(), {}, PRIVATE)


@pytest.fixture(scope="module")
def explore():
    with gr.Blocks():
        return explore_tab.lay_out()


@pytest.fixture
def section(explore):
    return explore.rounding


def words(markup):
    return " ".join(re.sub(r"<[^>]+>", " ", str(markup)).split())


def press(section, studio, again=dict):
    return rounding.start(section, studio, lambda: [studio.record(RUN)], again)


def others(store):
    return {(job.model.id, job.rounding.number) for run, job in store.recipes.items() if run != RUN}


def test_one_press_queues_one_study_and_shows_the_run_again(section, studio, store):
    shown = press(section, studio, lambda: {"again": True})
    assert others(store) == {("tiny-random-llama", 8), ("tiny-random-llama", 4), (f"run:{RUN}", 8)}
    assert len(set(store.studies.values())) == 1 and shown["again"]
    assert "3 runs are queued" in words(shown[section.needs])


def test_what_it_takes_is_said_when_it_is_opened(section, studio):
    said = rounding.needs_of(section, studio, lambda: [studio.record(RUN)])
    assert "3 runs, one after another" in words(said[section.needs]) and said[section.start]["interactive"]
    assert "2 of the dense model, 1 of what was pruned" in words(said[section.needs])


def test_a_second_press_finds_nothing_left(section, studio, store):
    press(section, studio)
    assert "measured already" in words(press(section, studio)[section.note]) and len(others(store)) == 3
    said = rounding.needs_of(section, studio, lambda: [studio.record(RUN)])
    assert "measured already" in words(said[section.needs]) and not said[section.start]["interactive"]


def test_the_page_of_the_run_waits_for_them_and_has_them_then(section, explore, studio, store):
    assert not shows(studio, studio.record(RUN))["live"]
    press(section, studio)
    assert (
        shows(studio, studio.record(RUN))["live"] and "pareto=" in shows(studio, studio.record(RUN))["charts"]
    )
    for run, job in store.recipes.items():
        if run != RUN:
            store.logs[run] = measured(job.rounding.number)
    assert not shows(studio, studio.record(RUN))["live"]
    page = explore_tab.reopen(explore, studio, ViewState(RUN))
    chart = page[explore.result.parts["pareto-chart"]]
    assert "dense, 4 bits" in chart["figure"] and chart["title"] == "Pruning beside rounding"


def test_it_is_offered_beside_runs_that_pruned(section, studio, store):
    waiting = store.put("20261124-100009-abcd", some_events("queued"), JOB)
    for run, offered in ((RUN, True), (waiting, False)):
        assert rounding.show(section, [studio.record(run)])[section.section]["visible"] is offered


def test_another_visitors_run_is_compared_with_the_dense_model_alone(section, store):
    store.put(RUN, a_run(owner=ANN.name), JOB)
    studio = Studio(store, FakeLauncher(store), FakeReader(), {}, HostPolicy(public=True))
    with acting_for(BOB):
        press(section, studio)
    assert others(store) == {("tiny-random-llama", 8), ("tiny-random-llama", 4)}


def test_a_limit_of_the_host_is_a_sentence_and_queues_nothing(section, store):
    store.put(RUN, a_run(owner=ANN.name), JOB)
    limited = Quotas(waiting_each=2)
    studio = Studio(store, FakeLauncher(store), FakeReader(), {}, HostPolicy(public=True), quotas=limited)
    with acting_for(ANN):
        assert "2 may wait" in words(press(section, studio)[section.note])
    assert others(store) == set()


def test_a_sweep_has_it_too(studio):
    with gr.Blocks():
        own = rounding.lay_out("sweep-")
    assert own.section.elem_id == "sweep-rounding" and own.start.elem_id == "sweep-rounding-start"
