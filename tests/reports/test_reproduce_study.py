"""What is copied from a sweep or a search asks for the same runs again."""

import shlex

import pytest
from ui_helpers import a_recipe

import apt_core
from apt_core.base.errors import NotNumbers
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.cli.parser import build_parser
from apt_core.cli.sweep import search_from, space_from
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import make_space
from apt_core.jobs.study import Study
from apt_core.reports.reproduce_study import study_again

HALF = {"pattern": {"kind": "unstructured", "sparsity": 0.5}}


def a_sweep(base, **axes):
    space = make_space(base, **axes)
    jobs = space.expand().jobs
    runs = tuple(f"r{number}" for number in range(len(jobs)))
    return Study(id="s", kind="sweep", created_at=0, jobs=jobs, runs=runs, space=space)


def a_search(base, within=1.1):
    search = Bisection(base=base, within=within)
    return Study(id="s", kind="bisection", created_at=0, jobs=(base,), runs=("r0",), bisection=search)


def options_of(line):
    options = build_parser().parse_args(shlex.split(line)[3:])
    options.policy = PRIVATE
    return options


@pytest.mark.parametrize(
    ("base", "axes"),
    [
        ({}, {"methods": ("apt", "wanda"), "patterns": ("0.3", "2:4")}),
        ({"seed": 3}, {"patterns": ("0.1234567", "4:8")}),
        ({"calibration": {"samples": 7, "text": "wiki-sample"}}, {"methods": ("ria",)}),
        (
            {"dtype": "float32"} | HALF,
            {"allocations": ("uniform", "loss"), "seeds": (0, 4), "samples": (3, 9)},
        ),
        ({"evaluation": {"samples": 3}}, {"methods": ("wanda",)}),
        ({"seed": 3}, {"recipes": ("alps 0.5 allocation=loss", "wanda 2:4 seed=1")}),
        (
            {"calibration": {"samples": 7, "text": "wiki-sample"}},
            {"methods": ("ria",), "recipes": ("alps 0.5", "wanda 2:4 samples=9")},
        ),
        ({"method": {"name": "apt", "mask": "S"}}, {"recipes": ("alps 0.5",)}),
    ],
    ids=str,
)
def test_the_command_of_a_sweep_asks_for_the_same_runs(base, axes):
    study = a_sweep(a_recipe(**base), **axes)
    line = study_again(study, PRIVATE).command
    assert set(space_from(options_of(line)).expand().jobs) == set(study.jobs), line


def test_options_that_the_command_would_lose_are_left_to_python(monkeypatch):
    study = a_sweep(a_recipe(method={"name": "apt", "mask": "S"}), patterns=("0.3", "2:4"))
    again = study_again(study, PRIVATE)
    assert again.command.startswith("# ") and "Python" in again.command
    jobs = []
    monkeypatch.setattr(apt_core, "_record_of", lambda job, out, on_event: jobs.append(job))
    exec(again.python, {})
    assert jobs == list(study.jobs)


@pytest.mark.parametrize(
    "base",
    [
        HALF,
        HALF | {"seed": 2, "calibration": {"samples": 5}, "method": "wanda"},
        HALF | {"method": {"name": "apt", "allocation": "loss"}, "device": "cpu"},
    ],
    ids=str,
)
def test_the_command_of_a_search_asks_for_the_same_search(base):
    study = a_search(a_recipe(**base), 1.25)
    assert search_from(options_of(study_again(study, PRIVATE).command)) == study.bisection


@pytest.mark.parametrize("border", [0, 37, 50, 99])
def test_the_script_of_a_search_finds_the_border(monkeypatch, capsys, border):
    asked = []

    class Record:
        def __init__(self, job):
            asked.append(job)
            percent = round(100 * job.pattern.sparsity)
            if percent > 80 and percent > border:
                raise NotNumbers("The model's predictions are not numbers any more.")
            self.ratio = 1.0 if percent <= border else 2.0

    monkeypatch.setattr(apt_core, "_record_of", lambda job, out, on_event: Record(job))
    study = a_search(a_recipe(**HALF, seed=3, calibration={"samples": 5}))
    exec(study_again(study, PRIVATE).python, {})
    assert capsys.readouterr().out == f"{border}\n"
    assert asked[0] == study.bisection.base and len(asked) <= 7


def test_folders_of_a_public_host_are_not_named():
    base = a_recipe(model={"id": "/srv/secret/model"}, calibration={"text": "/srv/secret/a.txt"}, **HALF)
    for study in (a_sweep(base, seeds=(0, 1)), a_search(base)):
        assert "/srv" not in "".join(study_again(study, STRICT))


def test_a_race_is_neither():
    assert study_again(Study(id="s", kind="race", created_at=0, jobs=(), runs=())) is None
