"""A grid of jobs: every combination once, and only those that make sense."""

from __future__ import annotations

import pytest

from apt_core.base.errors import BadInput
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.jobs import make_job, space
from apt_core.jobs.space import Space, make_space
from apt_core.methods import METHODS

BASE = make_job("prune", model={"id": "tiny-llama"}, method={"name": "apt", "mask": {"block_size": 64}})


def test_an_axis_without_values_stays_as_it_is():
    assert make_space(BASE).expand().jobs == (BASE,)


def test_every_combination_once_in_the_order_of_the_axes():
    space = make_space(
        BASE, methods=("wanda", "apt"), patterns=("2:4", 0.5, "0.5"), seeds=(0, 3, 0), samples=(8, 16)
    )
    jobs = space.expand().jobs
    said = [(job.method.name, job.pattern.label, job.seed, job.calibration.samples) for job in jobs]
    expected = [
        (method, pattern, seed, samples)
        for method in ("wanda", "apt")
        for pattern in ("2:4", "50%")
        for seed in (0, 3)
        for samples in (8, 16)
    ]
    assert said == expected and space.combinations == len(expected)
    assert {job.model for job in jobs} == {BASE.model} and space.expand().dropped == ()


def test_the_bases_own_method_keeps_its_options_and_others_have_their_defaults():
    jobs = make_space(BASE, methods=("apt", "sparsegpt")).expand().jobs
    assert [job.method for job in jobs] == [BASE.method, METHODS["sparsegpt"]()]


def test_an_allocation_that_nothing_is_left_for_counts_as_the_uniform_one_and_is_named():
    jobs, dropped = make_space(BASE, patterns=("2:4", 0.5), allocations=("loss", "uniform")).expand()
    said = [(job.pattern.label, job.method.allocation.name) for job in jobs]
    assert said == [("2:4", "uniform"), ("50%", "loss"), ("50%", "uniform")]
    (sentence,) = dropped
    assert "2:4" in sentence and "'loss'" in sentence


def test_a_grid_is_no_larger_than_its_cap():
    nine = make_space(BASE, seeds=tuple(range(9)))
    assert len(nine.expand(9).jobs) == 9
    with pytest.raises(BadInput, match="up to 9 runs, and a sweep holds at most 8"):
        nine.expand(STRICT.sweep_runs)
    with pytest.raises(BadInput, match="4,096 runs, and a sweep holds at most 64"):
        make_space(BASE, seeds=tuple(range(64)), samples=tuple(range(1, 65))).expand(PRIVATE.sweep_runs)


def test_a_combination_that_is_left_out_counts_against_the_cap(monkeypatch):
    """Each was validated and left out, so a form with all axes full kept the page busy for minutes."""
    mixed = tuple(f"{kept}:{m}-mixed" for m in (4, 8) for kept in range(1, m))
    full = {"patterns": mixed, "seeds": tuple(range(64)), "samples": tuple(range(1, 65))}
    left_out = make_space(BASE, methods=tuple(METHODS), allocations=("uniform",), **full)
    looked_at = []
    monkeypatch.setattr(space, "_method_of", lambda base, name: looked_at.append(name))
    with pytest.raises(BadInput, match="a sweep holds at most 8 here; choose fewer"):
        left_out.expand(STRICT.sweep_runs)
    assert looked_at == []


def test_a_grid_of_which_most_is_left_out_is_no_larger_than_what_stays():
    grid = make_space(BASE, patterns=("2:4-mixed", 0.5), allocations=("uniform",), seeds=(0, 1, 2, 3))
    jobs, dropped = grid.expand(4)
    assert len(jobs) == 4 and {job.pattern.label for job in jobs} == {"50%"} and len(dropped) == 1


def test_a_grid_survives_its_json():
    space = make_space(BASE, methods=("wanda",), patterns=("2:4", 0.3), allocations=("loss",), seeds=(5,))
    assert Space.model_validate_json(space.model_dump_json()) == space


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"methods": ("apple",)}, "no method 'apple'"),
        ({"allocations": ("fair",)}, "no allocation 'fair'"),
        ({"patterns": ("half",)}, "neither a sparsity"),
        ({"patterns": (1.5,)}, "out of range"),
        ({"seeds": (-1,)}, "greater than or equal to 0"),
        ({"samples": (0,)}, "greater than or equal to 1"),
        ({"seeds": tuple(range(65))}, "^seeds takes at most 64 values, not 65.$"),
        ({"sead": (1,)}, "sead"),
    ],
)
def test_what_cannot_be_is_one_sentence(axes, words):
    with pytest.raises(BadInput, match=words) as error:
        make_space(BASE, **axes)
    assert "\n" not in str(error.value)


def test_recipes_come_after_the_grid_and_alone_where_no_axis_has_a_value():
    lines = (
        "alps 0.5 allocation=loss seed=1 samples=64",
        "sparsegpt 2:4 mask.block-size=64",
        "apt-joint 2:4 mixed",
    )
    jobs = make_space(BASE, recipes=lines).expand().jobs
    assert [(job.method.name, job.pattern.label, job.seed, job.calibration.samples) for job in jobs] == [
        ("alps", "50%", 1, 64),
        ("sparsegpt", "2:4", 0, BASE.calibration.samples),
        ("apt-joint", "2:4 mixed", 0, BASE.calibration.samples),
    ]
    assert jobs[0].method.allocation.name == "loss" and jobs[1].method.mask.block_size == 64
    assert jobs[0].model == BASE.model and jobs[0].calibration.text == BASE.calibration.text
    beside = make_space(BASE, methods=("wanda",), patterns=(0.5,), recipes=(*lines, "wanda 0.5", "wanda 50%"))
    expanded = beside.expand().jobs
    assert [job.method.name for job in expanded] == ["wanda", "alps", "sparsegpt", "apt-joint"], "each once"
    assert beside.combinations == 6


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("alps", "write a method, a pattern and settings"),
        ("", "write a method, a pattern and settings"),
        ("alps 0.5 2:4", "write a method, a pattern and settings"),
        ("alp 0.5", "There is no method 'alp'"),
        ("alps 1.5", "1.5"),
        ("alps 0.5 mask.block=3", "no option"),
        ("alps 0.5 seed=x", "cannot be read"),
        ("alps 0.5 samples=0", "samples"),
        ("alps '0.5", "cannot be read"),
        ("alps 2:4 mixed", "lets layers differ"),
        ("depth 0.25", "removes whole blocks"),
    ],
)
def test_a_recipe_that_cannot_be_is_one_sentence_that_names_it(line, says):
    with pytest.raises(BadInput, match=r"^Recipe '") as refused:
        make_space(BASE, recipes=(line,)).expand()
    assert says in str(refused.value)
