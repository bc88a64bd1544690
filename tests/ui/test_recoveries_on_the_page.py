"""A recovery on the page: asked for beside a finished run, its curve drawn as it comes, gone on where it stopped."""

from __future__ import annotations

import gradio as gr
import numpy as np
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, some_events, stamped

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import Recover, make_job
from apt_core.plots import charts_of, recovery
from apt_core.plots.chart import RunSet
from apt_core.reports.document import document_of
from apt_core.reports.model_card import model_card
from apt_core.ui import lately as lately_module
from apt_core.ui.forms import below
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import recover
from apt_core.ui.views import progress, runs_table
from apt_core.ui.views.headline import headline

PRUNED, RUN, OTHER = "20261124-100000-abcd", "20261124-110000-abcd", "20261124-120000-abcd"


def a_job(**more):
    fields = {"evaluation": [{"text": "wikipedia", "samples": 4}], "optimiser_steps": 40} | more
    return make_job("recover", model={"id": f"run:{PRUNED}"}, method="spp", **fields)


def evaluated(subject, perplexity):
    return ev.Evaluated(
        **{"subject": subject, "perplexity": perplexity, "windows": 4, "length": 1024, "tokens": 4092},
        **{"text": "wikipedia", "protocol": "test-1", "seconds": 2.0},
    )


def began(**more):
    fields = {"step": 0, "steps": 40, "warm_up": 1, "trained": 9, "windows": 99, "held_out": 8} | more
    return ev.TrainingBegan(
        **fields, tokens_per_step=512, model_parameters=10**8, sparsity=0.5, dense_loss=2.6
    )


def points(steps):
    """A curve whose law is known: 2.8 + 0.05 D^-0.5, D in millions."""
    return [
        ev.Trained(
            **{"step": step, "tokens": 512 * step, "loss": 3.0 if step else None, "learning_rate": 1e-3},
            held_out=2.8 + 0.05 * (max(step, 0.2) * 512 / 1e6) ** -0.5,
            seconds=float(step),
        )
        for step in steps
    ]


def some(*steps, end=None):
    events = [*some_events("loaded")[:3], evaluated("dense", 14.0), evaluated("before", 55.0), began()]
    events += [*points(steps), ev.Progress(stage="train", done=steps[-1], total=40)]
    finished = ev.Finished(seconds={"total": 7.0}, peak_rss_bytes=4, checkpoint="checkpoint")
    return [
        *events,
        *([evaluated("recovered", 40.0), finished] if end == "finished" else [end] if end else []),
    ]


def a_record(*steps, end=None, run=RUN):
    return fold(RunRecord(id=run, job=a_job()), stamped(some(*steps, end=end)))


@pytest.fixture
def store(tmp_path):
    store = FakeStore(checkpoint=tmp_path)
    store.put(PRUNED, some_events())
    return store


@pytest.fixture
def studio(store, monkeypatch):
    monkeypatch.setattr(lately_module, "LATELY_SECONDS", -1)
    return Studio(store, FakeLauncher(store), FakeReader(), {})


@pytest.fixture(scope="module")
def explore():
    with gr.Blocks():
        return explore_tab.lay_out()


def values(explore, **changes):
    shown = {path: control.value for path, control in explore.recovering.controls.items()}
    return shown | {"training.text": "wiki-sample", "evaluation.text": "wiki-sample"} | changes


def test_every_field_of_the_job_that_a_visitor_chooses_is_a_control(explore, studio):
    job = recover.job_of(PRUNED, values(explore), studio)
    assert job.model.run == PRUNED
    assert job.model_copy(update={"training": a_job().training}) == a_job(
        optimiser_steps=200, evaluation=[{"text": "wiki-sample"}]
    ).model_copy(update={"training": a_job().training})
    assert job.training.text == "wiki-sample"
    asked = {"method": "distill", "optimiser_steps": 7, "training.batch": 3, "stop_when_flat": 0.01}
    job = recover.job_of(PRUNED, values(explore, **asked), studio)
    assert (job.method.name, job.optimiser_steps, job.training.batch) == ("distill", 7, 3)


def test_the_section_is_there_for_what_made_a_model_alone(explore, studio, store):
    shown = recover.show(explore.recovering, studio, store.get(PRUNED))
    assert shown[explore.recovering.section]["visible"]
    samples = explore.recovering.controls["evaluation.samples"]
    assert shown[samples]["value"] == store.get(PRUNED).job.evaluation[0].samples
    store.put(RUN, some(0, 2), a_job())
    assert not recover.show(explore.recovering, studio, store.get(RUN))[explore.recovering.section]["visible"]


def test_pressing_the_button_queues_the_run_and_shows_it(explore, studio, store):
    start = below.start(
        explore.recovering,
        studio,
        lambda: recover.job_of(PRUNED, values(explore), studio),
        lambda run_id: {"shown": run_id},
    )
    assert start["shown"] in store.logs
    assert isinstance(store.recipes[start["shown"]], Recover)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimiser_steps": None}, "Steps: give a number"),
        ({"method": "magic"}, "no way to recover"),
        ({"training.length": 10**9}, "from 16 to 32,768"),
    ],
)
def test_bad_input_is_a_sentence_and_queues_nothing(explore, studio, store, changes, said):
    before = len(store.logs)
    asked = lambda: recover.job_of(PRUNED, values(explore, **changes), studio)  # noqa: E731
    got = below.start(explore.recovering, studio, asked, lambda run_id: {})
    assert said in got[explore.recovering.note]
    assert len(store.logs) == before


def test_what_it_will_take_is_said_before(explore, studio):
    assert "memory" in recover.needs_of(PRUNED, values(explore), studio)
    assert "give a number" in recover.needs_of(PRUNED, values(explore, optimiser_steps="x"), studio)


def test_a_training_that_stopped_goes_on(explore, studio, store, tmp_path):
    store.put(RUN, some(0, 2, end=ev.Cancelled()), a_job())
    store.training_of = lambda run_id: tmp_path
    assert recover.show(explore.recovering, studio, store.get(RUN))[explore.recovering.go_on]["visible"]
    assert below.going_on(Recover, RUN, studio) == a_job(resume=RUN)

    def none(run_id):
        raise BadInput("kept no state")

    store.training_of = none
    assert not recover.show(explore.recovering, studio, store.get(RUN))[explore.recovering.go_on]["visible"]
    with pytest.raises(BadInput, match="start the recovery again"):
        below.going_on(Recover, RUN, studio)


def test_a_training_that_stopped_can_be_finished_with_what_it_reached(explore, studio, store, tmp_path):
    store.put(RUN, some(0, 2, end=ev.Cancelled()), a_job())
    store.training_of = lambda run_id: tmp_path
    assert recover.show(explore.recovering, studio, store.get(RUN))[explore.recovering.finish]["visible"]
    assert below.finished_early(Recover, RUN, studio) == a_job(resume=RUN, optimiser_steps=2)
    store.put(OTHER, some(0, end=ev.Cancelled()), a_job())  # stopped before its first step
    assert not recover.show(explore.recovering, studio, store.get(OTHER))[explore.recovering.finish][
        "visible"
    ]
    with pytest.raises(BadInput, match="start the recovery again"):
        below.finished_early(Recover, OTHER, studio)
    store.put(RUN, some(0, 2, end="finished"), a_job())
    assert not recover.show(explore.recovering, studio, store.get(RUN))[explore.recovering.finish]["visible"]


def test_the_curve_grows_while_it_runs_and_foretells_nothing():
    one, two = (RunSet(a_record(*range(0, 2 * count, 2))) for count in (3, 6))
    assert recovery.looks(one) != recovery.looks(two)
    assert len(recovery.figure(two).data) == 1 and len(recovery.figure(two).data[0].x) == 6
    assert recovery.title(two) == "Loss on held-out windows"
    empty = RunSet(RunRecord(id=RUN, job=a_job()))
    assert recovery.applies(empty) and recovery.figure(empty).data[0].x == (None,)
    assert [chart.name for chart in charts_of(two)] == ["recovery", "texts"]


def test_at_the_end_the_law_of_the_first_points_is_drawn_beyond_them():
    runs = RunSet(a_record(*range(0, 41, 2), end="finished"))
    drawn = recovery.figure(runs)
    marks, solid, dashed = drawn.data
    assert dashed.line.dash == "dash" and dashed.x[0] == solid.x[-1]
    opened = [shape.endswith("open") for shape in marks.marker.symbol]
    assert sum(opened) == 6 and opened[-1] and not opened[0]  # the last third came later
    later = [x for x, is_open in zip(marks.x, opened, strict=True) if is_open]
    assert min(later) > dashed.x[0] and dashed.x[-1] > 2 * max(later)
    foretold = np.interp(later, dashed.x, dashed.y)
    assert foretold == pytest.approx(
        [y for y, is_open in zip(marks.y, opened, strict=True) if is_open], abs=1e-3
    )
    assert "of what pruning cost came back" in recovery.title(runs)
    assert "L = a + b D^-beta" in recovery.note(runs)
    assert recovery.sheet(runs).rows[0][:4] == (RUN, 0, 0, None)
    assert "dense model has 2.6" in recovery.summary(runs)


def test_a_loss_that_hardly_moved_is_not_called_a_gain():
    record = a_record(*range(0, 41, 2), end="finished")
    first = record.steps[0].held_out
    still = [
        step.model_copy(update={"held_out": first - 0.0004 * place})
        for place, step in enumerate(record.steps)
    ]
    assert "too little to speak of" in recovery.title(
        RunSet(record.model_copy(update={"steps": tuple(still)}))
    )


def test_recoveries_beside_one_another_are_lines():
    both = RunSet(
        a_record(0, 2, 4, end="finished"), (a_record(0, 2, 4, end="finished", run=OTHER),), compare=True
    )
    assert len(recovery.figure(both).data) == 2
    assert len(recovery.table(both).rows) == 6
    assert recovery.note(both) == ""


def test_the_words_of_a_recovery():
    record = a_record(*range(0, 41, 2), end="finished")
    said = str(headline(record, "SmolLM2"))
    assert "perplexity 55.0 before and 40.0 after 40 steps of SPP; the dense model has 14.0" in said
    running = a_record(0, 2, 4)
    assert progress.where(running, "SmolLM2") == "Training: step 5 of 40"
    stopped = a_record(0, 2, 4, end=ev.Cancelled())
    assert "Stopped after step 4 of 40." in str(progress.status_block(stopped, "SmolLM2", 1.0))
    cell = str(runs_table._perplexity(record))
    assert ">14.0<" in cell and ">40.0<" in cell
    section = document_of([record], lambda one: "SmolLM2").sections[0]
    assert f"recover --run {PRUNED} --method spp" in section.command
    assert f'apt_core.recover(\n    "{PRUNED}",\n    method="spp",\n' in section.python
    assert [side.text for side in section.figures[0].sides] == ["14.0", "55.0", "40.0"]


def test_the_card_of_a_recovered_model_says_how_it_was_made():
    text = model_card(a_record(*range(0, 41, 2), end="finished"), "SmolLM2 (APT · 2:4)", "smollm2-135m")
    assert "# SmolLM2 (APT · 2:4), recovered with SPP (40 steps)" in text
    assert "- recovered\n- spp" in text and "so are its size and its speed" in text
