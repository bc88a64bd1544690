"""What is copied from the page or a report asks for the same job again."""

import shlex
from types import SimpleNamespace

import pytest
from ui_helpers import a_recipe

from apt_core.base.policy import PRIVATE, STRICT
from apt_core.cli.evaluate import job_from
from apt_core.cli.options import prune_from
from apt_core.cli.parser import build_parser
from apt_core.jobs import Evaluate, Prune, make_job, make_value
from apt_core.library import calls
from apt_core.reports.reproduce import command, python_source
from apt_core.runs.store import Store

PRUNES = [
    {},
    {"seed": 3, "device": "cpu", "dtype": "float32"},
    {"method": {"name": "apt", "mask": "S", "dampening": 0.05}, "evaluation": {"samples": 3}},
    {
        "method": {
            "name": "wanda",
            "refinement": "sparseswaps",
            "reconstruction": "joint",
            "allocation": "loss",
        },
        "pattern": {"kind": "unstructured", "sparsity": 0.5},
    },
    {"pattern": {"kind": "unstructured", "sparsity": 0.1234567}, "optional_layers": True, "weights": "disk"},
    {"pattern": {"kind": "n:m", "keep": 1, "of": 16}, "calibration": {"length": 64, "text": "wiki-sample"}},
    {"walk": "two-pass", "evaluation": [{"text": "wiki-sample"}, {"text": "wikipedia"}]},
    {"evaluation": {"skip": 12}},
]
EVALUATES = [
    {},
    {"evaluation": [{"text": "wiki-sample"}]},
    {"evaluation": [{"text": "wiki-sample", "samples": 3}], "dtype": "float32"},
    {"evaluation": [{"text": "wiki-sample"}, {"text": "wikipedia"}]},
    {"evaluation": [{"text": "wiki-sample", "samples": 3}, {"text": "wikipedia", "samples": 3}]},
]
ONLY_PYTHON = [
    {"model": {"id": "owner/name", "revision": "v1.0"}},
    {"model": {"id": 'it\'s "quoted" \\ 模型'}},
]
WINDOWS_APART = {"evaluation": [{"text": "wiki-sample", "samples": 3}, {"text": "wikipedia", "length": 64}]}


def evaluation(changes):
    return make_job("evaluate", **({"model": {"id": "tiny-llama"}} | changes))


@pytest.fixture
def asked(monkeypatch):
    """The jobs that the Python API is asked to do; none is done."""
    jobs = []

    def record_of(job, out, on_event, **how):
        jobs.append(job)
        return SimpleNamespace(evaluated=(1, 2))

    monkeypatch.setattr(calls, "_recorded", record_of)
    return jobs


@pytest.mark.parametrize("changes", [*PRUNES, *ONLY_PYTHON], ids=str)
def test_the_python_of_a_pruning_job_asks_for_the_same_job(changes, asked):
    job = a_recipe(**changes)
    exec(python_source([job], PRIVATE), {})
    assert asked == [job]


@pytest.mark.parametrize("changes", [*EVALUATES, *ONLY_PYTHON, WINDOWS_APART], ids=str)
def test_the_python_of_an_evaluation_asks_for_the_same_job(changes, asked):
    job = evaluation(changes)
    exec(python_source([job], PRIVATE), {})
    assert asked == [job]


def test_the_python_of_a_race_asks_for_all_of_them(asked):
    jobs = [
        a_recipe(method={"name": "apt", "block_size": 64}),
        a_recipe(method="wanda"),
        a_recipe(method="ria"),
    ]
    exec(python_source(jobs), {})
    assert asked == jobs


@pytest.mark.parametrize("changes", PRUNES, ids=str)
def test_the_command_of_a_pruning_job_asks_for_the_same_job(changes):
    job = a_recipe(**changes)
    assert prune_from(build_parser().parse_args(shlex.split(command(job, policy=PRIVATE))[3:])) == job


@pytest.mark.parametrize("changes", EVALUATES, ids=str)
def test_the_command_of_an_evaluation_asks_for_the_same_job(changes):
    job = evaluation(changes)
    assert job_from(build_parser().parse_args(shlex.split(command(job, policy=PRIVATE))[3:]), Store()) == job


def test_only_what_differs_from_the_defaults_is_named():
    job = a_recipe(calibration={"samples": 16})
    assert python_source([job]) == (
        'import apt_core\n\nrecord = apt_core.prune(\n    "tiny-random-llama",\n    method="apt",\n'
        '    pattern="2:4",\n    calibration={"samples": 16},\n)\n'
    )
    assert (
        python_source([evaluation({})]) == 'import apt_core\n\nmeasured = apt_core.evaluate("tiny-llama")\n'
    )


def test_on_a_public_host_files_are_named_without_their_folders():
    job = a_recipe(
        model={"id": "/srv/secret/model"},
        calibration={"text": "/srv/secret/a.txt"},
        evaluation={"text": "/srv/secret/b.txt"},
    )
    for said in (python_source([job], STRICT), command(job, policy=STRICT)):
        assert "/srv" not in said and "a.txt" in said and "b.txt" in said
    measuring = make_value(Evaluate, model={"id": "m"}, evaluation={"text": "/srv/secret/b.txt"})
    assert "/srv" not in python_source([measuring], STRICT)


@pytest.mark.slow
def test_the_script_gives_the_same_figures_again():
    """Run for real, twice: what the first record says of its job makes the second."""
    job = make_value(
        Prune,
        model={"id": "tiny-random-llama"},
        method="wanda",
        calibration={"text": "wiki-sample", "samples": 2, "length": 32},
        evaluation={"text": "wiki-sample", "samples": 2, "length": 32},
    )
    first, second = {}, {}
    exec(python_source([job]), first)
    exec(python_source([first["record"].job]), second)
    assert first["record"].job == second["record"].job == job
    assert first["record"].pruned.perplexity == second["record"].pruned.perplexity
