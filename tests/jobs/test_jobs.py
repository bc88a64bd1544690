"""Jobs of every kind: what is refused, what is stored, and that every version's JSON is read."""

from __future__ import annotations

import json

import pytest

from apt_core.base.errors import BadInput
from apt_core.jobs import JOBS, Evaluate, Prune, make_job, read_job
from apt_core.jobs.study import Study

RECIPE = {
    "model": {"id": "tiny-llama", "revision": None},
    "method": {"name": "wanda"},
    "pattern": {"kind": "n:m", "keep": 2, "of": 4},
    "calibration": {"text": "wiki-sample", "samples": 8, "length": 128},
    "evaluation": {"text": "wiki-sample", "samples": 4, "length": 256},
    "seed": 3,
    "device": "cpu",
    "dtype": "float32",
    "weights": "disk",
    "optional_layers": True,
}


def jobs():
    return [
        make_job("prune", model={"id": "run:20261124-100000-abcd"}, method="apt", seed=5, device="cpu"),
        make_job("evaluate", model={"id": "tiny-llama"}, evaluation=[{"text": "a"}, {"text": "b"}]),
        make_job("search", model={"id": "tiny-llama"}, keep=0.7, evolution={"population": 8}, seed=3),
    ]


@pytest.mark.parametrize("job", jobs(), ids=lambda job: job.kind)
def test_what_is_stored_is_read_as_it_was(job):
    assert read_job(job.model_dump_json()) == job
    assert type(read_job(json.loads(job.model_dump_json()))) is JOBS[job.kind]


def test_a_recipe_of_version_1_becomes_a_pruning_job():
    job = read_job(RECIPE)
    assert isinstance(job, Prune)
    assert (job.method.name, job.seed, job.optional_layers) == ("wanda", 3, True)
    assert job.resources.model_dump() == {
        "device": "cpu",
        "dtype": "float32",
        "weights": "disk",
        "walk": "auto",
    }
    assert [one.length for one in job.evaluation] == [256]
    assert job.schema_version == 2


def test_what_a_later_version_adds_is_left_out_of_what_is_stored_and_refused_from_people():
    job = make_job("prune", model={"id": "a"}, method="apt")
    later = job.model_dump() | {"schema_version": 9, "mood": "bold"}
    later["method"] |= {"temper": 3}
    later["evaluation"] = [one | {"colour": "red"} for one in later["evaluation"]]
    read = read_job(json.dumps(later))
    assert read.model_copy(update={"schema_version": 2}) == job
    with pytest.raises(BadInput):
        make_job("prune", **{name: value for name, value in later.items() if name != "kind"})


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("prune", {"name": "wanda"}),
        ("shrink", {"name": "llm-pruner", "multiple": 16}),
        ("recover", {"name": "spp"}),
    ],
)
def test_options_that_only_a_later_version_of_a_method_has(kind, method):
    job = make_job(kind, model={"id": "run:20261124-100000-abcd"}, method=method)
    later = job.model_dump() | {"method": job.method.model_dump() | {"temper": 3}}
    assert read_job(later) == job
    with pytest.raises(BadInput, match="has no option 'temper'"):
        make_job(**later)
    with pytest.raises(BadInput, match="'nobody'"):
        read_job(later | {"method": {"name": "nobody", "temper": 3}})


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"kind": "bake", "schema_version": 1}', "no kind of job 'bake'"),
        ('{"kind": "prune", "schema_version": 2}', "model"),
        ('{"kind": ["prune"], "schema_version": 2}', "no kind of job"),
    ],
)
def test_what_is_no_job_is_one_sentence(stored, words):
    with pytest.raises(BadInput, match=words):
        read_job(stored)


def test_flags_and_keywords_may_be_flat():
    job = make_job("evaluate", model={"id": "a"}, device="cpu", evaluation={"text": "b"})
    assert job.resources.device == "cpu" and job.evaluation[0].text == "b"
    with pytest.raises(BadInput, match="device"):
        make_job("evaluate", model={"id": "a"}, device="abacus")


@pytest.mark.parametrize("texts", [[], [{"text": "a"}] * 33])
def test_no_text_and_too_many_texts_are_refused(texts):
    with pytest.raises(BadInput, match="evaluation"):
        make_job("evaluate", model={"id": "a"}, evaluation=texts)


def test_a_model_can_be_what_a_run_made():
    prune, evaluate, *_ = jobs()
    assert prune.model.run == "20261124-100000-abcd"
    assert evaluate.model.run is None


def test_labels_say_what_is_done():
    assert make_job("prune", model={"id": "a"}, method="apt").label == "APT · 2:4"
    one = make_job("evaluate", model={"id": "a"}, evaluation={"text": "/home/ada/book.txt"})
    assert (one.label, jobs()[1].label) == ("Perplexity · book.txt", "Perplexity · 2 texts")


def test_a_study_holds_jobs_of_any_kind():
    study = Study(id="20261124-100000-abcd", kind="race", created_at=1.0, jobs=tuple(jobs()), runs=("a", "b"))
    again = Study.model_validate_json(study.model_dump_json())
    assert again == study and isinstance(again.jobs[1], Evaluate)
