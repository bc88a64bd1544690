"""A search on the page: asked for below the result, its population drawn as it comes, gone on where it stopped."""

from __future__ import annotations

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, some_events, stamped

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import Recover, Search, make_job
from apt_core.plots import charts_of
from apt_core.plots import generations as chart
from apt_core.plots.chart import RunSet
from apt_core.reports.document import document_of
from apt_core.reports.model_card import model_card
from apt_core.studies.search_gain import gain_of, gain_sentence
from apt_core.ui import lately as lately_module
from apt_core.ui.forms import below
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import search
from apt_core.ui.views import progress, runs_table
from apt_core.ui.views.headline import headline

RUN = "20261124-110000-abcd"
START = ev.Candidate(perplexity=50.0, parameters=80, blocks=30, heads=6, channels=1400)


def a_job(**more):
    return make_job("search", model={"id": "tiny-random-llama"}, **more)


def evaluated(subject, perplexity, losses=()):
    return ev.Evaluated(
        **{"subject": subject, "perplexity": perplexity, "windows": 4, "length": 1024, "tokens": 4092},
        **{"text": "wikipedia", "protocol": "test-1", "seconds": 2.0, "losses": losses},
    )


def began(**more):
    fields = {"generation": 0, "generations": 100, "minutes": 10, "population": 3, "shapes": 12} | more
    return ev.SearchBegan(
        **fields, parameters=100, keep=0.8, tolerance=0.01, windows=4, length=512, dense=20.0
    )


def generation(number, best, tried=None):
    others = [START.model_copy(update={"perplexity": one}) for one in (best + 1, None)]
    first = START.model_copy(update={"perplexity": best, "blocks": 28})
    return ev.Generation(
        number=number,
        tried=tried or 3 * (number + 1),
        seconds=10.0 * number,
        start=START,
        population=(first, *others),
    )


def some(*best, end=None, start=(3.8, 3.9, 4.0, 4.1), found=(3.7, 3.8, 3.9, 4.0)):
    events = [*some_events("loaded")[:3], evaluated("dense", 14.0), began()]
    events += [generation(number, one) for number, one in enumerate(best)]
    events += [ev.Progress(stage="search", done=30, total=100, detail="generation 3, candidate 2 of 14")]
    if end != "finished":
        return [*events, *([end] if end else [])]
    shrunk = ev.Shrunk(
        blocks=30, kept=tuple(range(28)), dense_parameters=100, parameters=85, share=0.2, score="x"
    )
    finished = ev.Finished(seconds={"total": 7.0}, peak_rss_bytes=4, checkpoint="checkpoint")
    return [*events, shrunk, evaluated("pruned", 40.0, found), evaluated("start", 43.0, start), finished]


def a_record(*best, **more):
    return fold(RunRecord(id=RUN, job=a_job()), stamped(some(*best, **more)))


@pytest.fixture
def store(tmp_path):
    return FakeStore(checkpoint=tmp_path)


@pytest.fixture
def studio(store, monkeypatch):
    monkeypatch.setattr(lately_module, "LATELY_SECONDS", -1)
    return Studio(store, FakeLauncher(store), FakeReader(), {})


@pytest.fixture(scope="module")
def explore():
    with gr.Blocks():
        return explore_tab.lay_out()


def values(explore, **changes):
    shown = {path: control.value for path, control in explore.searching.controls.items()}
    texts = {"calibration.text": "wiki-sample", "evaluation.text": "wiki-sample"}
    return shown | {"model": "tiny-random-llama"} | texts | changes


def test_every_field_of_the_job_that_a_visitor_chooses_is_a_control(explore, studio):
    job = search.job_of(values(explore), studio)
    texts = {"calibration": {"text": "wiki-sample"}, "evaluation": {"text": "wiki-sample"}}
    assert job == a_job(**texts)
    changes = {"keep": 0.6, "minutes": 2.5, "evolution.population": 9, "calibration.held_out": 3, "seed": 7}
    changes |= {"evolution.draws": "uniform", "generations": 5}
    job = search.job_of(values(explore, **changes), studio)
    assert (job.keep, job.minutes, job.generations, job.seed) == (0.6, 2.5, 5, 7)
    assert (job.evolution.population, job.evolution.draws, job.calibration.held_out) == (9, "uniform", 3)


def test_pressing_the_button_queues_the_run_and_shows_it(explore, studio, store):
    asked = lambda: search.job_of(values(explore), studio)  # noqa: E731
    started = search.start(explore.searching, studio, asked, lambda run_id: {"shown": run_id})
    assert isinstance(store.recipes[started["shown"]], Search)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keep": 7}, "from 0.05 to 0.99"),
        ({"minutes": None}, "Minutes: give a number"),
        ({"evolution.population": 1.5}, "whole number"),
        ({"model": "tiny-mamba"}, "no attention heads"),
        ({"model": ""}, "Choose a model"),
    ],
)
def test_bad_input_is_a_sentence_and_queues_nothing(explore, studio, store, changes, said):
    asked = lambda: search.job_of(values(explore, **changes), studio)  # noqa: E731
    got = search.start(explore.searching, studio, asked, lambda run_id: {})
    assert said in got[explore.searching.note]
    assert not store.logs


def test_what_it_will_take_is_said_before(explore, studio):
    assert "of searching" in search.needs_of(values(explore), studio)
    assert "give a number" in search.needs_of(values(explore, keep="x"), studio)


def test_a_search_that_stopped_goes_on(explore, studio, store, tmp_path):
    store.put(RUN, some(50, 48, end=ev.Cancelled()), a_job())
    store.training_of = lambda run_id: tmp_path
    shown = below.show_stopped(explore.searching, studio, store.get(RUN))
    assert shown[explore.searching.go_on]["visible"]
    assert below.going_on(Search, RUN, studio) == a_job(resume=RUN)
    recovering = explore_tab.recover.show(explore.recovering, studio, store.get(RUN))
    assert not recovering[explore.recovering.go_on]["visible"]

    def none(run_id):
        raise BadInput("kept no state")

    store.training_of = none
    assert not below.show_stopped(explore.searching, studio, store.get(RUN))[explore.searching.go_on][
        "visible"
    ]
    with pytest.raises(BadInput, match="start the search again"):
        below.going_on(Search, RUN, studio)


def test_a_search_that_stopped_can_be_finished_with_what_it_reached(explore, studio, store, tmp_path):
    store.put(RUN, some(50, 48, end=ev.Cancelled()), a_job())
    store.training_of = lambda run_id: tmp_path
    assert below.show_stopped(explore.searching, studio, store.get(RUN))[explore.searching.finish]["visible"]
    assert below.finished_early(Search, RUN, studio) == a_job(resume=RUN, generations=1)
    recovering = explore_tab.recover.show(explore.recovering, studio, store.get(RUN))
    assert not recovering[explore.recovering.finish]["visible"]
    with pytest.raises(BadInput, match="start the recovery again"):
        below.going_on(Recover, RUN, studio)
    store.put(RUN, some(50, 48, end="finished"), a_job())
    shown = below.show_stopped(explore.searching, studio, store.get(RUN))
    assert not shown[explore.searching.finish]["visible"] and not shown[explore.searching.go_on]["visible"]


def test_the_population_grows_while_it_runs():
    one, two = RunSet(a_record(50)), RunSet(a_record(50, 48))
    assert chart.looks(one) != chart.looks(two)
    points, start, best = chart.figure(two).data
    assert list(start.y) == [50, 50]
    assert list(best.y) == [50, 48] and list(points.y) == [50, 51, 48, 49]  # what is no number is no point
    assert chart.title(one) == "Candidates on the held-out windows"
    assert chart.title(two) == "The best of 6 candidates is 4% below uniform widths"
    assert chart.title(RunSet(a_record(50, 50))) == "Nothing better than uniform widths in one generation"
    empty = RunSet(RunRecord(id=RUN, job=a_job()))
    assert chart.applies(empty) and chart.figure(empty).data[2].x == (None,)
    assert "generations" in [one.name for one in charts_of(two)]
    assert "layers" not in [one.name for one in charts_of(two)]


def test_a_long_search_draws_some_populations_and_every_best():
    record = a_record(*[50 - 0.1 * number for number in range(200)])
    points, _, best = chart.figure(RunSet(record)).data
    assert len(best.x) == 200 and len(set(points.x)) <= 41 and {0, 199} <= set(points.x)
    assert len(chart.sheet(RunSet(record)).rows) == 600


def test_numbers_are_behind_the_chart():
    runs = RunSet(a_record(50, 48))
    assert chart.table(runs).rows[1].cells[:4] == ("1", "6", "48.0", "28")
    assert chart.sheet(runs).rows[0] == (0, 1, 50.0, 80, 28, 6, 1400, 3, 0.0)
    assert "28 blocks, 6 heads, MLP width 1,400" in chart.summary(runs)
    assert "plain transformers" in chart.note(runs)


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [
        ((3.7, 3.8, 3.9, 4.01), "better", "The search gained: perplexity 40.0 where the uniform widths"),
        ((3.9, 4.0, 4.1, 4.21), "worse", "The search lost on this text"),
        ((3.7, 4.0, 3.9, 4.2), "no difference that these windows can show", "gained nothing that these"),
    ],
)
def test_whether_anything_was_gained_goes_by_the_windows(found, verdict, said):
    record = a_record(50, 48, end="finished", found=found)
    assert gain_of(record).verdict == verdict
    assert said in gain_sentence(record) and said in chart.note(RunSet(record))


def test_a_start_that_stayed_the_best_is_no_gain():
    events = some(end="finished", found=(3.8, 3.9, 4.0, 4.1))
    only = ev.Generation(number=0, tried=2, seconds=1.0, start=START, population=(START,))
    events = [
        *events[:-4],
        only,
        *events[-4:-3],
        evaluated("pruned", 43.0),
        evaluated("start", 43.0),
        events[-1],
    ]
    record = fold(RunRecord(id=RUN, job=a_job()), stamped(events))
    assert "gained nothing: it found nothing better" in gain_sentence(record)
    assert gain_of(a_record(50)) is None and gain_sentence(a_record(50)) == ""


def test_the_words_of_a_search():
    record = a_record(50, 48, end="finished")
    assert "SmolLM2" in str(headline(record, "SmolLM2"))
    running = a_record(50, 48)
    assert progress.where(running, "SmolLM2") == "Searching: generation 3, candidate 2 of 14"
    stopped = a_record(50, 48, end=ev.Cancelled())
    assert "Stopped after generation 1 of at most 100." in str(progress.status_block(stopped, "SmolLM2", 1.0))
    cell = str(runs_table._perplexity(record))
    assert ">14.0<" in cell and ">40.0<" in cell
    section = document_of([record], lambda one: "SmolLM2").sections[0]
    assert "search --model tiny-random-llama" in section.command
    assert [side.text for side in section.figures[0].sides] == ["14.0", "43.0", "40.0"]
    assert "The search gained" in section.honest


def test_the_card_of_what_was_found_says_how_it_was_made():
    text = model_card(a_record(50, 48, end="finished"), "SmolLM2", "smollm2-135m")
    assert "# SmolLM2, pruned with Search (20%)" in text
    assert "2409.17372" in text and "not stored any more" in text
