"""Races, sweeps, searches, comparisons and looks inside can be copied as a command and as Python, not samples."""

from __future__ import annotations

import html

import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events

from apt_core.base.policy import PRIVATE
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import make_space
from apt_core.jobs.study import Study
from apt_core.measure.inside.questions import LayerQuestion
from apt_core.studies.sweep import rows_of
from apt_core.ui.studio import Studio
from apt_core.ui.views import inside, inside_model
from apt_core.ui.views.compare_view import compare_parts
from apt_core.ui.views.run_view import parts
from apt_core.ui.views.sweep_table import sweep_view
from tests.ui.test_inside_model_on_the_page import a_depth, some_alone

RUN, OTHER = "20261124-100000-abcd", "20261124-100001-abcd"


def copied(markup):
    """What its two buttons copy."""
    text = html.unescape(str(markup))
    assert text.count("data-copy") == 2
    return text


@pytest.mark.parametrize("kind", ["sweep", "bisection"])
def test_a_study_is_copied(kind):
    base = a_recipe(pattern={"kind": "unstructured", "sparsity": 0.5})
    asked = (
        {"space": make_space(base, seeds=(0, 1))} if kind == "sweep" else {"bisection": Bisection(base=base)}
    )
    study = Study(id="s", kind=kind, created_at=0, jobs=(base,), runs=(RUN,), **asked)
    said = copied(sweep_view(study, rows_of(study, []), PRIVATE))
    assert "python -m apt_core sweep --model tiny-random-llama" in said
    assert ("--seeds 0,1" if kind == "sweep" else "--within 1.1") in said and "import apt_core" in said


def test_a_race_is_copied_beside_each_of_its_runs():
    store = FakeStore()
    for run, method in ((RUN, "apt"), (OTHER, "wanda")):
        store.put(run, some_events(), a_recipe(method=method))
    studio = Studio(store, FakeLauncher(store), FakeReader())
    assert "The whole race" not in parts(studio, studio.record(RUN))["provenance"]
    store.studies |= dict.fromkeys((RUN, OTHER), "20261124-100000-5555")
    for run in (RUN, OTHER):
        said = html.unescape(parts(studio, studio.record(run))["provenance"])
        assert said.count("data-copy") == 4 and "The whole race as command or Python" in said
        assert (
            "python -m apt_core prune --model tiny-random-llama --method apt --pattern 2:4 --race wanda"
            in said
        )
        assert "records = [" in said


def test_a_comparison_is_copied():
    store = FakeStore()
    for run in (RUN, OTHER):
        store.put(run, some_events())
    studio = Studio(store, FakeLauncher(store), FakeReader())
    said = copied(compare_parts(studio, studio.compared([RUN, OTHER]))["downloads"])
    assert f"python -m apt_core compare {RUN} {OTHER}" in said and "apt_core.compare(" in said
    (sample, _), *_ = studio.samples
    assert "data-copy" not in compare_parts(studio, studio.compared([RUN, sample]))["downloads"]


@pytest.mark.parametrize(("found", "flag"), [(a_depth, "--depth"), (some_alone, "--blocks-alone")])
def test_a_look_along_the_depth_is_copied(found, flag):
    assert f"python -m apt_core inspect {RUN} {flag}" in copied(inside_model.numbers(found(RUN)))
    assert "data-copy" not in inside_model.numbers(found("sample-smollm2-apt-30-quick"))


def test_a_look_inside_a_layer_is_copied():
    question = LayerQuestion(run=RUN, block=1, layer="mlp.up_proj", inputs=True, row=3)
    said = copied(inside.again(question))
    assert f"inspect {RUN} --block 1 --layer mlp.up_proj --row 3" in said and "row=3" in said
    assert str(inside.again(None)) == ""
