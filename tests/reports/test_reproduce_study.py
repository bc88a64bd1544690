"""What is copied from a sweep or a search asks for the same runs again."""

import shlex

import pytest
from ui_helpers import a_recipe

from apt_core.base.errors import NotNumbers
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.cli import main
from apt_core.cli.options import prune_from
from apt_core.cli.parser import build_parser
from apt_core.cli.sweep import search_from, space_from
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import make_space
from apt_core.jobs.study import Study
from apt_core.library import calls
from apt_core.reports.reproduce_study import study_again
from apt_core.runs.store import Store
from apt_core.studies.race import line_up

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


@pytest.mark.parametrize(
    ("base", "axes"),
    [
        ({"method": {"name": "apt", "mask": "S"}}, {"patterns": ("0.3", "2:4")}),
        (
            {"method": {"name": "apt", "mask.block_size": 64, "allocation": "loss"}} | HALF,
            {"methods": ("wanda", "apt"), "patterns": ("0.3", "0.5")},
        ),
        (
            {"method": {"name": "apt", "mask.block_size": 64}} | HALF,
            {"allocations": ("uniform", "loss"), "seeds": (0, 4)},
        ),
        ({"method": {"name": "apt", "mask": "S"}}, {"methods": ("wanda", "ria"), "patterns": ("0.3",)}),
        (
            {"method": {"name": "apt", "mask": "S"}},
            {"methods": ("apt",), "patterns": ("2:4",), "recipes": ("alps 0.5 seed=1",)},
        ),
    ],
    ids=str,
)
def test_the_command_and_the_script_of_a_sweep_keep_the_options_of_its_method(monkeypatch, base, axes):
    study = a_sweep(a_recipe(**base), **axes)
    again = study_again(study, PRIVATE)
    assert set(space_from(options_of(again.command)).expand().jobs) == set(study.jobs), again.command
    jobs = []
    monkeypatch.setattr(calls, "_recorded", lambda job, out, on_event, **how: jobs.append(job))
    exec(again.python, {})
    assert jobs == list(study.jobs)


@pytest.mark.parametrize(
    "base",
    [
        HALF,
        HALF | {"seed": 2, "calibration": {"samples": 5}, "method": "wanda"},
        HALF | {"method": {"name": "apt", "allocation": "loss"}, "device": "cpu"},
        HALF
        | {
            "method": {"name": "apt", "mask.block_size": 64, "allocation": "loss", "allocation.strength": 0.7}
        },
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

    monkeypatch.setattr(calls, "_recorded", lambda job, out, on_event, **how: Record(job))
    study = a_search(a_recipe(**HALF, seed=3, calibration={"samples": 5}))
    exec(study_again(study, PRIVATE).python, {})
    assert capsys.readouterr().out == f"{border}\n"
    assert asked[0] == study.bisection.base and len(asked) <= 7


def test_folders_of_a_public_host_are_not_named():
    base = a_recipe(model={"id": "/srv/secret/model"}, calibration={"text": "/srv/secret/a.txt"}, **HALF)
    for study in (a_sweep(base, seeds=(0, 1)), a_search(base)):
        assert "/srv" not in "".join(study_again(study, STRICT))


@pytest.mark.parametrize(
    "base",
    [{}, {"method": {"name": "ria", "mask.comparison": "row"}, "seed": 3} | HALF],
    ids=str,
)
def test_the_command_and_the_script_of_a_race_ask_for_the_same_runs(monkeypatch, base):
    jobs = line_up(a_recipe(**base), ["wanda", "sparsegpt"])
    runs = tuple(f"r{number}" for number in range(len(jobs)))
    again = study_again(Study(id="s", kind="race", created_at=0, jobs=tuple(jobs), runs=runs), PRIVATE)
    options = options_of(again.command)
    assert line_up(prune_from(options), options.race.split(",")) == jobs, again.command
    made = []
    monkeypatch.setattr(calls, "_recorded", lambda job, out, on_event, **how: made.append(job))
    exec(again.python, {})
    assert made == jobs


def test_a_race_of_nobody_is_nothing():
    assert study_again(Study(id="s", kind="race", created_at=0, jobs=(), runs=())) is None


SMALL = {
    "calibration": {"text": "wiki-sample", "samples": 2, "length": 32},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 32},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["race", "sweep"])
def test_what_is_copied_gives_the_same_figures_again(kind, tmp_path, monkeypatch, capsys):
    """Run for real: once by the command, once by the script of the study that the command has stored."""
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    base = a_recipe(method={"name": "ria", "mask.comparison": "row"}, **HALF, **SMALL)
    if kind == "race":
        jobs = tuple(line_up(base, ["wanda"]))
        asked = Study(id="s", kind="race", created_at=0, jobs=jobs, runs=("r0", "r1"))
    else:
        asked = a_sweep(base, methods=("wanda", "ria"))
    assert main(shlex.split(study_again(asked, PRIVATE).command)[3:]) == 0
    store = Store()
    (study,) = store.studies()
    assert study.kind == kind and set(study.jobs) == set(asked.jobs)
    made = {}
    exec(study_again(study, PRIVATE).python, made)
    stored = store.runs_of(study.id)
    assert [one.job for one in made["records"]] == [one.job for one in stored]
    assert [one.pruned.perplexity for one in made["records"]] == [one.pruned.perplexity for one in stored]
