"""The law of recoveries on the page: below a recovery, below what was recovered, and beside others."""

from __future__ import annotations

import gradio as gr
import pytest
from ui_helpers import ANN, FakeLauncher, FakeReader, FakeStore, some_events, stamped

from apt_core.base.policy import HostPolicy
from apt_core.events.records import RunRecord, fold
from apt_core.runs.owners import Visitor
from apt_core.runs.quotas import Quotas
from apt_core.studies import scaling_law
from apt_core.ui import lately as lately_module
from apt_core.ui.acting import acting_for
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import compare as compare_tab
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import law
from tests.studies.test_scaling_law import curve, job

PRUNED, RUN, OTHER = "20261124-090000-abcd", "20261124-110000-abcd", "20261124-120000-abcd"


@pytest.fixture
def studio(monkeypatch, tmp_path):
    """A pruned run and two recoveries of it, which differ in the method."""
    monkeypatch.setattr(lately_module, "LATELY_SECONDS", -1)
    monkeypatch.setattr(scaling_law, "_BOOTSTRAPS", 3)
    monkeypatch.setattr(law, "_cache", law.ChartCache())
    store = FakeStore(checkpoint=tmp_path)
    store.put(PRUNED, some_events())
    store.put(RUN, curve(), job())
    store.put(OTHER, curve(b=0.03), job("distill"))
    return Studio(store, FakeLauncher(store), FakeReader(), {})


@pytest.fixture(scope="module")
def section():
    with gr.Blocks():
        return explore_tab.lay_out().law


def test_it_is_there_where_a_recovery_has_a_curve(section, studio):
    for run in (PRUNED, RUN):
        shown = law.show(section, studio, [studio.record(run)])
        assert shown == {section.section: gr.update(visible=True), section.said: ""}
    empty = RunRecord(id=RUN, job=job())
    assert law.show(section, studio, [empty])[section.section] == gr.update(visible=False)


def test_constants_with_intervals_and_how_many_tokens(studio):
    said = law.said_of(studio, [RUN], 1.5)
    assert "SPP on" in said and "L = a + b D^-beta" in said and "95% interval" in said
    assert "within 1.50" in said and said.count("of the dense perplexity") == 1


def test_recoveries_beside_one_another_have_their_laws_and_what_kept_them_apart(studio):
    said = law.said_of(studio, [RUN, OTHER], 1.5)
    assert said.count('<article class="law">') == 2 and "the recovery (SPP; Distillation)" in said
    assert law.said_of(studio, [PRUNED], 1.5) == said, "what was recovered stands for its recoveries"


def test_two_of_one_way_are_fitted_together_and_each_is_named(studio):
    studio.store.put(OTHER, curve(b=0.03), job(seed=1))
    said = law.said_of(studio, [RUN, OTHER], 1.5)
    assert said.count('<article class="law">') == 1
    assert f"{RUN}: The loss" in said and f"{OTHER}: The loss" in said


def test_the_field_itself_refuses_nothing(section):
    """Gradio would answer with an error of its own, and no sentence."""
    assert section.within.minimum is None and section.within.maximum is None


@pytest.mark.parametrize("within", [None, "x", 0.9, float("nan"), True])
def test_what_is_no_ratio_is_a_sentence(studio, within):
    assert "give a number from 1" in law.said_of(studio, [RUN], within)


def test_a_run_without_a_curve_and_one_that_is_gone_are_sentences(studio):
    studio.store.put(RUN, [], job())
    assert "is no recovery with a curve" in law.said_of(studio, [RUN], 1.5)
    assert "There is no run" in law.said_of(studio, ["20200101-000000-abcd"], 1.5)


def test_the_same_law_is_fitted_once(studio, monkeypatch):
    first = law.said_of(studio, [RUN], 1.5)
    monkeypatch.setattr(law, "laws_of", lambda *_, **__: pytest.fail("fitted again"))
    assert law.said_of(studio, [RUN], 1.5) == first


def test_another_ratio_is_answered_by_the_same_law_and_a_fit_counts_as_a_look(studio):
    """Each was fitted anew, for strangers too: one of them kept a core, and everybody's "Fit the law" waiting."""
    public = Studio(studio.store, FakeLauncher(studio.store), FakeReader(), {}, HostPolicy(public=True))
    public.usage = type(public.usage)(Quotas(looks_per_hour=1))
    with acting_for(ANN):
        said = [law.said_of(public, [RUN], within) for within in (1.5, 1.51, 1.52)]
        assert all(
            f"within {within}" in one for within, one in zip(("1.50", "1.51", "1.52"), said, strict=True)
        )
        assert "you have 1 an hour" in law.said_of(public, [RUN, OTHER], 1.5)
    with acting_for(Visitor()):
        assert "1.53" in law.said_of(public, [RUN], 1.53), "what is known costs nobody anything"
        assert '<article class="law">' not in law.said_of(public, [OTHER], 1.53)


def test_compared_runs_are_those_of_the_address():
    assert compare_tab.compared_in({"runs": [RUN, OTHER]}) == [RUN, OTHER]
    assert compare_tab.compared_in(None) == [] == compare_tab.compared_in({"runs": "x"})


def test_what_others_made_from_a_run_is_not_told(studio):
    """A link shows a run, not what other visitors made of it."""
    record = fold(RunRecord(id=RUN, job=job(), owner="somebody"), stamped(curve()))
    studio.store.made_from = lambda run_id: [record]
    assert studio.made_from(PRUNED) == [record]
    public = Studio(studio.store, FakeLauncher(studio.store), FakeReader(), {}, HostPolicy(public=True))
    with acting_for(Visitor(names=("me",))):
        assert public.made_from(PRUNED) == []
