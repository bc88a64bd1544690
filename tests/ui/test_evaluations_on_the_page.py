"""A measured perplexity on the page: asked for beside a run, shown with its interval, in words and as numbers."""

import csv
import io
import json
import re

import gradio as gr
import pytest
from ui_helpers import ANN, FakeLauncher, FakeReader, FakeStore, a_recipe, some_events, stamped

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.events.records import RunRecord, fold, summary
from apt_core.jobs import Evaluate, make_value
from apt_core.plots import charts_of, texts
from apt_core.plots.chart import RunSet
from apt_core.ui import lately as lately_module
from apt_core.ui import server
from apt_core.ui.acting import acting_for
from apt_core.ui.forms import choose, form, uploads
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import measure
from apt_core.ui.views import progress, run_view, runs_table
from apt_core.ui.views.headline import figures, headline

RUN, PRUNED = "20261124-110000-abcd", "20261124-100000-abcd"
TWO = [{"text": "wikipedia", "samples": 4}, {"text": "wiki-sample", "samples": 4}]


def a_job(evaluation=TWO, model="tiny-random-llama"):
    return make_value(Evaluate, model={"id": model}, evaluation=evaluation)


def measured(text, perplexity, low=None, high=None):
    return ev.Evaluated(
        subject="model",
        perplexity=perplexity,
        low=low,
        high=high,
        windows=4,
        length=1024,
        tokens=4092,
        text=text,
        protocol="test-1",
        seconds=2.0,
    )


BOTH = (measured("wikipedia", 20.0, 18.0, 22.0), measured("wiki-sample", 31.0, 28.0, 35.0))


def some(*done, end=True):
    """The events of an evaluation, with these texts read."""
    events = some_events("loaded")[:3]
    events.append(ev.Progress(stage="evaluate", subject="model", done=1, total=4))
    finished = ev.Finished(
        sparsity=0, parameters=9, removed=0, seconds={"total": 7.0}, peak_rss_bytes=400_000_000
    )
    return [*events, *done, *([finished] if end else [])]


def a_record(*done, end=True, **job):
    return fold(RunRecord(id=RUN, job=a_job(**job)), stamped(some(*done, end=end)))


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


def words_of(markup):
    return " ".join(re.sub(r"<[^>]+>", " ", str(markup)).split())


# ---- what is shown


def test_one_text_is_a_sentence_and_a_figure_with_its_interval():
    record = a_record(BOTH[0], evaluation=TWO[:1])
    assert "Tiny has a perplexity of 20.0 on Wikipedia summaries." in words_of(headline(record, "Tiny"))
    said = words_of(figures(record))
    assert "18.0 to 22.0 with 95% confidence" in said and "removed" not in said and "7.0 s" in said
    assert "4 × 1024 tokens of Wikipedia summaries" in words_of(headline(record, "Tiny"))


def test_several_texts_are_a_span():
    assert "a perplexity of 20.0 to 31.0 on 2 texts." in words_of(headline(a_record(*BOTH), "Tiny"))


@pytest.mark.parametrize(
    ("status", "words"), [("queued", "is waiting to be measured"), ("failed", "could not be measured")]
)
def test_every_state_speaks_of_measuring(status, words):
    record = a_record(end=False).model_copy(update={"status": status})
    assert words in words_of(headline(record, "Tiny"))


def test_the_charts_and_panels_of_pruning_stay_away(studio, store):
    store.put(RUN, some(*BOTH), a_job())
    shown = run_view.parts(studio, store.get(RUN))
    assert [chart.name for chart in charts_of(RunSet(store.get(RUN)))] == ["texts"]
    assert shown["layers-chart"] is None and shown["perplexity-chart"] is None and shown["sizes"] == ""
    assert (
        shown["texts-chart"]["csv"] == f"studio/runs/{RUN}/texts.csv" and "Texts, CSV" in shown["downloads"]
    )
    assert "weights were removed" not in shown["downloads"] and "method" not in shown["provenance"]


def test_the_steps_and_the_text_that_is_read_now():
    record = a_record(BOTH[0], end=False)
    said = words_of(progress.status_block(record, "Tiny", 1_764_000_100.0))
    assert "Reading text 2 of 2: window 2 of 4" in said and "Model Perplexity" in said and "Prune" not in said
    stopped = record.model_copy(update={"status": "cancelled"})
    assert "Stopped after 1 of 2 texts." in words_of(progress.status_block(stopped, "Tiny", 0))


def test_the_chart_draws_a_mark_with_its_interval_for_every_text():
    trace = texts.figure(RunSet(a_record(*BOTH))).data[0]
    assert list(trace.x) == [20.0, 31.0] and list(trace.error_x.arrayminus) == pytest.approx([2.0, 3.0])
    waiting = texts.figure(RunSet(a_record(end=False)))
    names = [note.text for note in waiting.layout.annotations]
    assert names == ["Wikipedia summaries", "Wikipedia summaries, bundled sample"]
    assert list(waiting.data[0].x) == [None]


def test_the_hardest_text_is_named_only_where_intervals_lie_apart():
    assert texts.title(RunSet(a_record(*BOTH))).startswith(
        "Wikipedia summaries, bundled sample is the hardest of 2"
    )
    near = measured("wiki-sample", 23.0, 20.0, 26.0)
    assert texts.title(RunSet(a_record(BOTH[0], near))) == "Perplexity on every text"
    assert texts.title(RunSet(a_record(*BOTH, end=False))) == "Perplexity on every text"


def test_a_run_that_prunes_shows_the_chart_for_several_texts_only():
    events = some_events()
    several = a_recipe(evaluation=TWO)
    assert not texts.applies(RunSet(fold(RunRecord(id=RUN, job=a_recipe()), stamped(events))))
    runs = RunSet(fold(RunRecord(id=RUN, job=several), stamped(events)))
    assert texts.applies(runs) and [trace.name for trace in texts.figure(runs).data] == ["dense", "pruned"]


def test_the_numbers_as_csv(studio, store):
    store.put(RUN, some(*BOTH), a_job())
    rows = list(csv.DictReader(io.StringIO(server.answer(studio, RUN, "texts.csv").body.decode())))
    assert [(row["text"], row["perplexity"], row["low"]) for row in rows] == [
        ("wikipedia", "20.0", "18.0"),
        ("wiki-sample", "31.0", "28.0"),
    ]


def test_the_list_of_runs_has_a_row_for_it(studio, store):
    store.put(PRUNED, some_events())
    store.put(RUN, some(*BOTH), a_job(model=f"run:{PRUNED}"))
    table = words_of(runs_table.runs_table(studio.known_runs(), studio.title, 1_764_000_100.0))
    assert "Tiny &lt;b&gt;Llama&lt;/b&gt; (APT · 2:4) Perplexity 2 texts 20.0, 31.0" in table


def test_a_run_that_prunes_has_no_race_with_one_that_measures(studio, store):
    store.put(PRUNED, some_events())
    store.put(RUN, some(*BOTH), a_job())
    assert "race" not in run_view.shows(studio, store.get(PRUNED))["charts"]


# ---- what is asked for


def given(explore, **changes):
    shown = {path: component.value for path, component in explore.measuring.controls.items()}
    return shown | {path.replace("__", "."): value for path, value in changes.items()}


def test_beside_a_finished_run_its_own_model_comes_first(explore, studio, store):
    store.put(PRUNED, some_events())
    model = explore_tab.open_run(explore, studio, store.get(PRUNED), link=True)[
        explore.measuring.controls["model"]
    ]
    assert model["value"] == f"run:{PRUNED}" and model["choices"][0][1] == f"run:{PRUNED}"
    assert "this run" in model["choices"][0][0] and "smollm2-135m" in [name for _, name in model["choices"]]
    store.put(PRUNED, some_events("layers"))
    model = explore_tab.open_run(explore, studio, store.get(PRUNED), link=True)[
        explore.measuring.controls["model"]
    ]
    assert model["value"] == "tiny-random-llama"


def test_one_press_queues_the_texts_and_shows_the_run(explore, studio, store):
    store.put(PRUNED, some_events())
    values = given(
        explore,
        model=f"run:{PRUNED}",
        evaluation__text=["wikipedia", "wiki-sample", "wikipedia"],
        evaluation__samples=3.0,
        resources__device="cpu",
    )
    shown = measure.start(
        explore.measuring,
        studio,
        values,
        lambda run_id: explore_tab.open_run(explore, studio, studio.record(run_id), link=True),
    )
    run_id, job = list(store.recipes.items())[-1]
    assert isinstance(job, Evaluate) and job.model.run == PRUNED and job.resources.device == "cpu"
    assert [(one.text, one.samples) for one in job.evaluation] == [("wikipedia", 3), ("wiki-sample", 3)]
    assert (
        shown[explore.seen]["run"] == run_id
        and "waiting to be measured" in shown[explore.result.parts["headline"]]
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluation__text": []}, "Choose at least one text."),
        ({"evaluation__text": None}, "Choose at least one text."),
        ({"evaluation__text": "wikipedia"}, "Choose at least one text."),
        ({"evaluation__text": ["/etc/passwd"]}, "There is no text '/etc/passwd'"),
        ({"evaluation__samples": 0}, "Evaluation windows: give a number from 1"),
        ({"evaluation__text": [f"hub:a/b{n}" for n in range(40)]}, "Choose at most 32 texts."),
        ({"model": ""}, "Choose a model"),
        ({"model": "gemma-3-270m"}, "Read the Gemma Terms of Use and tick"),
        ({"evaluation__length": 32768}, "longer than"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence_and_starts_nothing(
    explore, studio, store, changes, sentence, fresh_cache
):
    values = given(explore, **({"model": "tiny-random-llama", "evaluation__text": ["wikipedia"]} | changes))
    said = measure.start(explore.measuring, studio, values, lambda run_id: {})
    assert sentence in re.sub("&#39;", "'", said[explore.measuring.note]) and not store.logs


def test_on_a_public_host_terms_are_accepted_by_every_visitor(explore, studio):
    studio.policy = HostPolicy(public=True)
    with pytest.raises(BadInput, match="accept"):
        measure.job_of(given(explore, model="gemma-3-270m", evaluation__text=["wikipedia"]), studio)


def test_terms_that_are_ticked_here_are_accepted_here(explore, studio, tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path))
    values = given(explore, model="gemma-3-270m", evaluation__text=["wiki-sample"], terms=True)
    assert measure.job_of(values, studio).model.id == "gemma-3-270m"
    monkeypatch.setattr(measure.checks, "check", lambda *_: None)  # nothing answers here who has its weights
    measure.start(explore.measuring, studio, values, lambda run_id: {})
    assert form.open_terms("gemma-3-270m", studio.policy) is None


def test_a_model_that_is_not_for_everybody_is_not_measured_by_everybody(explore, studio, store):
    """The rights are decided below the views: by every door, for every kind of job."""
    store.put(PRUNED, some_events(owner=ANN.name))
    store.with_token.add(PRUNED)
    studio.policy = HostPolicy(public=True)
    values = given(explore, model=f"run:{PRUNED}", evaluation__text=["wikipedia"])
    with acting_for(ANN):
        said = measure.start(explore.measuring, studio, values, lambda run_id: {})
        assert "only for accounts that accepted its terms" in said[explore.measuring.note]
        with pytest.raises(BadInput, match="only for accounts"):
            studio.submit([a_recipe(), a_job(model=f"run:{PRUNED}")])
    assert list(store.logs) == [PRUNED]
    studio.policy = HostPolicy()
    studio.submit([a_job(model=f"run:{PRUNED}")])


def test_the_choices_of_a_measuring_run_fill_what_both_kinds_share(explore, studio, store):
    store.put(RUN, some(*BOTH), a_job())
    filled = explore_tab.choose_the_same(explore, studio, run_view.ViewState(run=RUN))
    controls = explore.chooser.controls
    assert filled[controls["model"]] == "tiny-random-llama" and filled[controls["evaluation.samples"]] == 4
    assert controls["method.name"] not in filled and controls["pattern.kind"] not in filled


def test_nobody_is_handed_the_text_of_another_visitor(explore, studio, store, tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path))
    source = tmp_path / "diary.txt"
    source.write_text("Dear diary, today was like any other day. " * 50)
    token = uploads.keep(source)
    hashed = token.removeprefix(uploads.PREFIX)[:12]
    store.put(RUN, some(*BOTH), a_job([{"text": uploads.text_for(token)}]))
    record, text = store.get(RUN), explore.chooser.controls["evaluation.text"]
    seen = run_view.ViewState(run=RUN)
    assert explore_tab.choose_the_same(explore, studio, seen)[text]["value"] == token
    studio.policy = HostPolicy(public=True)
    assert text not in explore_tab.choose_the_same(explore, studio, seen)
    assert record.job.label == "Perplexity · diary.txt"
    assert hashed not in str(runs_table.runs_table([record], studio.title, 1_764_000_100.0))
    assert hashed not in json.dumps(summary(record, studio.policy))
    assert hashed not in server.answer(studio, RUN, "texts.csv").body.decode()


def test_what_a_run_made_is_chosen_and_pruned_again(explore, studio, store):
    store.put(PRUNED, some_events())
    store.put(RUN, some(*BOTH), a_job(model=f"run:{PRUNED}"))
    filled = explore_tab.choose_the_same(explore, studio, run_view.ViewState(run=RUN))
    model = filled[explore.chooser.controls["model"]]
    values = {path: one.value for path, one in explore.chooser.controls.items()} | {
        "model": model, "calibration.text": "wiki-sample", "evaluation.text": "wiki-sample",
    }  # fmt: skip
    checked = choose.check(explore.chooser, studio, values)
    assert checked_out(checked, explore) is True
    explore_tab.start(explore, studio, values)
    assert list(store.recipes.values())[-1].model.run == PRUNED
    store.with_token.add(PRUNED)
    studio.policy = HostPolicy(public=True)
    assert checked_out(choose.check(explore.chooser, studio, values), explore) is False


def checked_out(checked, explore):
    """Whether the button may be pressed."""
    return checked[explore.chooser.prune]["interactive"]


def test_there_is_nothing_to_ask_beside_a_run_that_only_measured(explore, studio, store):
    store.put(RUN, some(*BOTH), a_job())
    store.put(PRUNED, some_events())
    for run_id, visible in ((RUN, False), (PRUNED, True)):
        shown = explore_tab.open_run(explore, studio, store.get(run_id), link=True)
        assert shown[explore.reading.section]["visible"] is visible
