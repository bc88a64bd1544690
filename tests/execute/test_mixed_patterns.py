"""N:M that differs from layer to layer: pruned, said, looked into, and refused where nothing would differ."""

from __future__ import annotations

import pytest

import apt_core
from apt_core.base.errors import BadInput
from apt_core.base.patterns import SemiStructured, parse_pattern
from apt_core.cli import main
from apt_core.jobs import make_job, read_job
from apt_core.jobs.space import make_space
from apt_core.measure.inside.questions import AllocationQuestion, question_adapter
from apt_core.studies.race import line_up

TEXTS = {
    "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 64},
}


TWO_OF_FOUR = SemiStructured(keep=2, of=4)


@pytest.mark.parametrize("text", ["2:4 mixed", "2:4-mixed", " 2 : 4  mixed "])
def test_it_is_written_so(text):
    pattern = parse_pattern(text)
    assert pattern == SemiStructured(keep=2, of=4, mixed=True) and pattern.label == "2:4 mixed"
    assert parse_pattern(pattern.label) == pattern


def a_job(method):
    return make_job(
        "prune",
        model={"id": "tiny-random-llama"},
        method=method,
        pattern={"kind": "n:m", "keep": 2, "of": 4, "mixed": True},
    )


def test_an_allocation_that_gives_all_layers_the_same_is_refused(capsys):
    with pytest.raises(
        BadInput, match=r"2:4 mixed lets layers differ, which the allocation uniform does not"
    ):
        a_job({"name": "magnitude"})
    arguments = ["prune", "--model", "tiny-random-llama", "--method", "wanda", "--pattern", "2:4 mixed"]
    assert main(arguments) == 2
    assert "choose another, such as loss, owl or by-hand" in capsys.readouterr().err


def test_a_race_refuses_a_rival_that_gives_all_layers_the_same():
    mixed = a_job({"name": "apt-joint"})
    with pytest.raises(BadInput, match=r"^ALPS cannot take part: 2:4 mixed lets layers differ"):
        line_up(mixed, ["alps"])
    assert [
        job.method.name for job in line_up(a_job({"name": "apt", "allocation": "owl"}), ["apt-joint"])
    ] == [
        "apt",
        "apt-joint",
    ]


def test_a_sweep_leaves_out_the_combinations_that_cannot_be_and_says_so():
    base = make_job("prune", model={"id": "tiny-random-llama"}, method="apt")
    space = make_space(base, methods=("apt-joint", "alps"), patterns=("2:4", "2:4 mixed"))
    jobs, dropped = space.expand()
    assert [(job.method.name, job.pattern.label) for job in jobs] == [
        ("apt-joint", "2:4"),
        ("apt-joint", "2:4 mixed"),
        ("alps", "2:4"),
    ]
    assert len(dropped) == 1 and dropped[0].startswith("ALPS at 2:4 mixed is left out: 2:4 mixed lets layers")
    for job in jobs:
        assert read_job(job.model_dump_json()) == job
    with pytest.raises(BadInput, match="ALPS at 2:4 mixed is left out"):
        make_space(base, methods=("alps",), patterns=("2:4 mixed",)).expand()


def test_a_stored_job_of_before_is_read_as_plain():
    job = read_job(
        {
            "kind": "prune",
            "model": {"id": "x"},
            "method": {"name": "apt"},
            "pattern": {"kind": "n:m", "keep": 2, "of": 4},
        }
    )
    assert job.pattern == TWO_OF_FOUR


def test_it_is_not_called_two_of_four():
    """Neither in its pattern, which the verdict on sparse kernels goes by, nor in words."""
    job = a_job({"name": "wanda", "allocation": "loss"})
    assert job.pattern != TWO_OF_FOUR and job.pattern.label != TWO_OF_FOUR.label


@pytest.mark.parametrize("points", ["0.25, 0.75", "0.3, 0.7"])
def test_each_layer_has_its_own_pattern_and_the_whole_keeps_two_of_four(points, fresh_cache):
    options = {"allocation": {"name": "by-hand", "points": points}}
    run = apt_core.prune("tiny-random-llama", method="wanda", pattern="2:4 mixed", options=options, **TEXTS)
    assert run.status == "finished" and all(layer.pattern_valid for layer in run.layers)
    kept = {layer.block: round(4 * (1 - layer.sparsity)) for layer in run.layers}
    assert kept == {0: 3, 1: 1} and run.sparsity == pytest.approx(0.5, abs=1e-9)
    assert run.job.label.endswith("· 2:4 mixed")


def test_an_allocation_that_a_plain_pattern_leaves_nothing_to_decide_is_refused(capsys):
    """It was taken, and every layer lost the same under its name."""
    said = r"2:4 takes the same share of every layer, so the allocation owl would decide nothing; choose a sparsity"
    with pytest.raises(BadInput, match=said):
        apt_core.plan("tiny-random-llama", "alps", "2:4", {"allocation": "owl"})
    for command in ("prune", "allocation"):
        arguments = [command, "--model", "tiny-random-llama", "--allocation", "owl", "--pattern", "2:4"]
        assert main(arguments) == 2
        assert "'2:4 mixed', or the allocation uniform" in capsys.readouterr().err


def test_what_a_named_method_brings_along_is_uniform_there():
    job = apt_core.plan("tiny-random-llama", "apt-joint", "2:4")
    assert job.method.allocation.name == "loss" and job.allocation_name == "uniform"
    assert apt_core.plan("tiny-random-llama", "apt-joint", 0.5).allocation_name == "loss"
    question = AllocationQuestion.of(job)
    assert question_adapter.validate_json(question.model_dump_json()) == question


def test_a_stored_job_with_an_allocation_that_decided_nothing_is_read_as_it_was():
    asked = {"model": {"id": "x"}, "method": {"name": "alps", "allocation": {"name": "owl"}}}
    job = read_job({"kind": "prune", **asked, "pattern": {"kind": "n:m", "keep": 2, "of": 4}})
    assert job.method.allocation.name == "owl" and job.allocation_name == "uniform"
