"""The Sweep tab: what is typed becomes a grid, its estimate, its rows; stopped, gone on with, opened by its link."""

from __future__ import annotations

import gradio as gr
import pytest

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.jobs import make_job
from apt_core.jobs.space import make_space
from apt_core.runs.executors.local import LocalExecutor
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.studies import bisection
from apt_core.ui import page
from apt_core.ui.forms.form import write
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import sweep
from apt_core.ui.views.earlier_sweeps import earlier_sweeps
from tests.runs.fake_worker import evaluated
from tests.runs.helpers import fake_command
from tests.runs.test_store import finish
from tests.studies.test_bisection import finish as measured
from tests.ui.ui_helpers import FakeReader, a_recipe

CHOSEN = {"model": "tiny-random-llama", "method.name": "apt", "seed": 3}
AXES = {"methods": ["apt", "wanda"], "patterns": "0.3, 2:4", "allocations": [], "seeds": "", "samples": "8"}


class Idle(Launcher):
    """A queue in which nothing begins."""

    def tick(self, start_next: bool = True) -> None:
        super().tick(start_next=False)


@pytest.fixture
def studio(tmp_path):
    store = Store(tmp_path / "data")
    return Studio(store, Idle(store, fake_command("sweeping")), FakeReader(), {})


@pytest.fixture(scope="module")
def tab():
    with gr.Blocks():
        return sweep.lay_out()


def said(shown, part):
    value = shown[part]
    return value if isinstance(value, str) else str(value)


def test_what_is_typed_is_the_grid_over_what_is_chosen_under_explore(studio):
    space = sweep.space_of(studio, AXES, CHOSEN)
    jobs = space.expand().jobs
    assert [(job.method.name, job.pattern.label) for job in jobs] == [
        ("apt", "30%"),
        ("apt", "2:4"),
        ("wanda", "30%"),
        ("wanda", "2:4"),
    ]
    assert {(job.seed, job.calibration.samples) for job in jobs} == {(3, 8)}


def test_the_estimate_comes_first_and_names_the_cap(studio, tab):
    shown = sweep.estimate(tab, studio, AXES, CHOSEN)
    assert "4 runs, one after another" in said(shown, tab.estimate)
    assert "at most 64 runs" in said(shown, tab.estimate) and shown[tab.start]["interactive"]
    assert studio.store.list() == []


def test_recipes_of_ones_own_stand_beside_the_grid(studio, tab):
    axes = AXES | {"recipes": "alps 0.5 allocation=loss\n\n  wanda 0.3 samples=8  \n"}
    jobs = sweep.space_of(studio, axes, CHOSEN).expand().jobs
    assert [job.method.label for job in jobs][-1] == "ALPS (allocation loss)" and len(jobs) == 5
    shown = sweep.estimate(tab, studio, AXES | {"recipes": "alps"}, CHOSEN)
    assert "alps&#39;: write a method" in said(shown, tab.estimate) and not shown[tab.start]["interactive"]


def test_every_recipe_is_read_to_its_end(studio):
    """What stood behind the 400th letter was dropped, in the middle of a number too."""
    recipes = "\n".join(f"wanda 0.5 seed={seed}" for seed in range(12300, 12360))
    jobs = sweep.space_of(studio, {"recipes": recipes}, CHOSEN).expand().jobs
    assert [job.seed for job in jobs] == list(range(12300, 12360))
    seeds = ", ".join(str(4_000_000_000 + seed) for seed in range(60))
    assert len(sweep.space_of(studio, {"seeds": seeds}, CHOSEN).expand().jobs) == 60


def test_a_host_that_does_two_at_once_says_so(studio, tab, monkeypatch):
    monkeypatch.setattr(studio.launcher, "executor", LocalExecutor(at_once=2, cores=2))
    shown = sweep.estimate(tab, studio, AXES, CHOSEN)
    assert "4 runs, up to 2 at once: about " in said(shown, tab.estimate)
    assert "one after another:" not in said(shown, tab.estimate)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"patterns": "0.3, half"}, "neither a sparsity"),
        ({"seeds": "1, <b>"}, "whole numbers"),
        ({"methods": ["<script>"]}, "no method"),
        ({"seeds": " ".join(map(str, range(64)))}, "at most 64"),
        ({"patterns": "1:7"}, "divisible by 7"),
        ({"recipes": "wanda 0.5\n" * 65}, "at most 64"),
        ({"recipes": "wanda 0.5\n" * 4000}, "more than 32,064 letters"),
        ({"samples": "8, " * 4000}, "more than 1,000 letters"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_starts_nothing(studio, tab, axes, words):
    shown = sweep.estimate(tab, studio, AXES | axes, CHOSEN)
    assert words in said(shown, tab.estimate) and not shown[tab.start]["interactive"]
    pressed = sweep.start(tab, studio, AXES | axes, CHOSEN)
    assert words in said(pressed, tab.note) and studio.store.list() == []
    assert "<script>" not in said(shown, tab.estimate) and "<b>" not in said(pressed, tab.note)


def test_a_public_host_allows_less(studio, tab):
    studio.policy = HostPolicy(public=True)
    pressed = sweep.start(tab, studio, AXES | {"seeds": "0 1 2"}, CHOSEN)
    assert "at most 8" in said(pressed, tab.note) and studio.store.list() == []


def test_started_stopped_and_gone_on_with(studio, tab):
    shown = sweep.start(tab, studio, AXES, CHOSEN)
    study = studio.store.study(shown[tab.study])
    assert study.kind == "sweep" and len(study.runs) == 4 and study.space is not None
    assert said(shown, tab.view).count("<tr data-run") == 4 and shown[tab.stop]["visible"]
    assert not shown[tab.go_on]["visible"] and "report" not in said(shown, tab.view)
    finish(studio.store, study.runs[0])
    stopped = sweep.stop(tab, studio, study.id)
    assert f'href="studio/studies/{study.id}/report.html"' in said(stopped, tab.view)
    assert said(stopped, tab.view).count('data-status="cancelled"') == 3
    assert stopped[tab.go_on]["visible"] and not stopped[tab.stop]["visible"]
    again = sweep.go_on(tab, studio, study.id)
    assert said(again, tab.view).count('data-status="queued"') == 3
    assert studio.store.study(study.id).runs[0] == study.runs[0]


def test_a_search_says_before_it_starts_what_it_takes_at_most(studio, tab):
    shown = sweep.estimate_search(tab, studio, 10, CHOSEN)
    assert "At most 8 runs, one after another, about " in said(shown, tab.find_estimate)
    assert shown[tab.find]["interactive"] and studio.store.list() == []
    for within, chosen in ((0, CHOSEN), (10, CHOSEN | {"model": "no-such-model"})):
        refused = sweep.estimate_search(tab, studio, within, chosen)
        assert "At most" not in said(refused, tab.find_estimate) and not refused[tab.find]["interactive"]


def test_the_estimate_of_a_search_follows_the_tab_and_its_bound(studio):
    built = page.build(studio)
    (place,) = (one for one in built.blocks.values() if getattr(one, "elem_id", "") == "sweep-find-estimate")
    kinds = {kind for fn in built.fns.values() if place in fn.outputs for _, kind in fn.targets}
    assert {"select", "change"} <= kinds


def test_a_search_is_one_button(studio, tab):
    shown = sweep.find(tab, studio, AXES, 10, CHOSEN)
    study = studio.store.study(shown[tab.study])
    assert study.kind == "bisection" and study.bisection.within == pytest.approx(1.1)
    assert [job.pattern.label for job in study.jobs] == ["50%"]
    measured(studio.store, study.runs[0], 1.3)
    assert sweep.show(tab, studio, study.id)[tab.timer].active, "its next run is on its way"
    assert bisection.advance(studio.store, study.id)
    assert "decides the next run" in said(sweep.show(tab, studio, study.id), tab.view)
    for worse in (0, 901, None):
        refused = said(sweep.find(tab, studio, AXES, worse, CHOSEN), tab.note)
        assert "Max perplexity increase: give a percentage from 1 to 900." in refused


def end(store, run_id, ratio, sparsity):
    """The run has finished with these figures."""
    with store.index.write() as rows:
        rows.update(run_id, status="finished")
    for event in (
        ev.Started(pid=1),
        evaluated("dense", 10.0),
        evaluated("pruned", 10.0 * ratio),
        ev.Finished(sparsity=sparsity, seconds={"prune": 3.0, "total": 4.0}, peak_rss_bytes=10**9),
    ):
        store.append(run_id, event)


def charts_sent(tab, shown):
    """Name of a chart -> its title, of those that were sent with something to draw."""
    parts = {part: name for name, part in tab.charts.items() if name.endswith("-chart")}
    return {parts[part]: value["title"] for part, value in shown.items() if part in parts and value}


def test_charts_come_as_runs_end_and_are_sent_once(studio, tab):
    shown = sweep.start(tab, studio, AXES | {"patterns": "0.2, 0.4", "methods": ["apt", "wanda"]}, CHOSEN)
    study = studio.store.study(shown[tab.study])
    assert charts_sent(tab, shown) == {}
    for number, (run, job) in enumerate(zip(study.runs, study.jobs, strict=True)):
        end(studio.store, run, 1.1 + 0.1 * number, job.pattern.sparsity)
    ended = sweep.show(tab, studio, study.id, shown[tab.looks])
    assert f'data-runs="{",".join(study.runs)}">Compare all<' in said(ended, tab.view)
    assert set(charts_sent(tab, ended)) == {
        "sweep-sparsity-chart",
        "sweep-pareto-chart",
        "sweep-parallel-chart",
    }
    assert ended[tab.charts["sweep-sparsity-chart"]]["csv"] == f"studio/runs/{study.runs[0]}/sparsity.csv"
    table = ended[tab.charts["sweep-sparsity-chart"]]["table"]
    assert table.count("<a href=") == 4 and "(shown)" not in table  # no run is more shown than another
    again = sweep.show(tab, studio, study.id, ended[tab.looks])
    assert not set(tab.charts.values()) & set(again)
    gone = sweep.show(tab, studio, "20200101-000000-0000", ended[tab.looks])
    assert gone[tab.charts["sweep-pareto-chart"]] is None


@pytest.mark.parametrize("study", ["20200101-000000-0000", "../../etc", "<b>"])
def test_a_link_to_no_study_is_a_sentence(studio, tab, study):
    shown = sweep.show(tab, studio, study)
    assert "no study" in said(shown, tab.note) and "<b>" not in said(shown, tab.note)


def test_a_race_is_not_shown_as_a_sweep(studio, tab):
    race = studio.launcher.submit_study("race", make_space(a_recipe(), seeds=(0, 1)).expand().jobs)
    assert "is a race" in said(sweep.show(tab, studio, race.id), tab.note)


def test_the_whole_page_has_the_tab(studio):
    built = page.build(studio)
    assert any(getattr(block, "elem_id", None) == "sweep-start" for block in built.blocks.values())


def test_an_allocation_that_the_chosen_pattern_refuses_can_be_swept_and_searched_with(studio):
    """The tab has sparsities of its own, so the 2:4 under Explore is not asked for."""
    method = {"name": "wanda", "allocation": "owl"}
    job = make_job(
        "prune",
        model={"id": "tiny-random-llama"},
        method=method,
        pattern={"kind": "unstructured", "sparsity": 0.5},
    )
    chosen = write(job) | {"pattern.kind": "n:m", "pattern.name": "2:4"}
    jobs = sweep.space_of(studio, {"patterns": "0.3"}, chosen).expand().jobs
    assert [(job.method.allocation.name, job.pattern.label) for job in jobs] == [("owl", "30%")]
    assert sweep.search_of(studio, 10, chosen).base.method.allocation.name == "owl"
    with pytest.raises(BadInput, match="allocation owl would decide nothing"):
        sweep.space_of(studio, {"seeds": "0, 1"}, chosen)


def test_earlier_sweeps_are_links_and_races_are_not_among_them(studio, tab):
    assert earlier_sweeps(studio) == ""
    study = studio.store.study(sweep.start(tab, studio, AXES, CHOSEN)[tab.study])
    studio.submit([job.model_copy(update={"seed": 9}) for job in study.jobs[:2]])
    studio._lately.forget()
    said = earlier_sweeps(studio)
    assert said.count("<a ") == 1 and f'href="?study={study.id}"' in said
    assert f"Tiny random Llama, {len(study.jobs)} runs, " in said
    found = studio.store.study(sweep.find(tab, studio, AXES, 10, CHOSEN)[tab.study])
    studio._lately.forget()
    assert f'href="?study={found.id}"' in earlier_sweeps(studio) and ", a search, " in earlier_sweeps(studio)


def test_of_a_large_sweep_the_best_are_compared(studio, tab):
    """Each against the lowest perplexity; what has no number yet stands aside."""
    shown = sweep.start(
        tab, studio, AXES | {"patterns": "0.5", "seeds": " ".join(map(str, range(14)))}, CHOSEN
    )
    study = studio.store.study(shown[tab.study])
    assert 'data-action="compare"' not in said(shown, tab.view)
    for number, (run, job) in enumerate(zip(study.runs[:14], study.jobs, strict=False)):
        end(studio.store, run, 2.0 - 0.05 * number, job.pattern.sparsity)
    view = said(sweep.show(tab, studio, study.id), tab.view)
    assert f'data-runs="{",".join(study.runs[13:1:-1])}">Compare the best 12<' in view
