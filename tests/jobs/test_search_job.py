"""A job that searches: what it asks for, how it is made again, and what it refuses."""

from __future__ import annotations

import pytest

from apt_core.base.errors import BadInput
from apt_core.cli.parser import build_parser
from apt_core.cli.search import job_from
from apt_core.events.records import RunRecord, summary
from apt_core.jobs import Search, make_job, read_job
from apt_core.reports.names import what_was_done
from apt_core.reports.reproduce import command, python_source
from apt_core.reports.run_words import provenance
from apt_core.runs.store import Store


def search(**more):
    return make_job("search", model={"id": "tiny-llama"}, **more)


def test_what_a_later_version_adds_is_left_out():
    job = search(evolution={"population": 8})
    later = job.model_dump() | {"evolution": job.model_dump()["evolution"] | {"of_a_later_version": 1}}
    assert read_job(later) == job
    with pytest.raises(BadInput, match="of_a_later_version"):
        make_job(**later)


def test_it_is_told_apart_as_runs_by_a_method_are():
    job = search(keep=0.75, evolution={"population": 8})
    assert job.labels == ("Search (population 8)", "25%")
    assert job.pattern.sparsity == 0.25 and search().pattern.sparsity == 0.2
    assert what_was_done(job) == "search-25pct"
    record = RunRecord(id="r", job=job)
    facts = dict(provenance(record))
    assert (
        "population 8" in facts["options"] and facts["bounds of the search"] == "10 minutes, 100 generations"
    )
    told = summary(record)
    assert told["keep"] == 0.75 and told["options"]["population"] == 8 and told["generations"] == []
    assert told["perplexity"]["start"] is None


def test_it_says_how_it_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path))
    job = search(
        keep=0.7,
        minutes=3,
        seed=4,
        evolution={"population": 8, "draws": "uniform"},
        calibration={"text": "wiki-sample", "held_out": 2},
        evaluation={"text": "wiki-sample"},
    )
    said = command(job)
    assert said.startswith("python -m apt_core search --model tiny-llama ")
    assert "--keep 0.7 --minutes 3.0 --population 8 --draws uniform" in said
    options = build_parser().parse_args(said.split()[3:])
    assert job_from(options, Store()) == job
    source = python_source([job])
    assert "apt_core.search(" in source and '"population": 8' in source
    called = {}
    exec(source, {"__builtins__": {"__import__": lambda *_: _Recorder(called)}})
    assert make_job("search", model={"id": called["args"][0]}, **called["more"]) == job


class _Recorder:
    def __init__(self, called):
        self._called = called

    def search(self, *args, **more):
        self._called |= {"args": args, "more": more}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"keep": 1.0}, "keep"),
        ({"keep": 0}, "keep"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": float("inf")}, "minutes"),
        ({"evolution": {"population": 1}}, "population"),
        ({"evolution": {"depth": 3}}, "depth"),
        ({"generations": -1}, "generations"),
    ],
)
def test_bad_input_is_one_sentence(fields, said):
    with pytest.raises(BadInput, match=said):
        search(**fields)


def test_defaults_are_those_of_the_schema():
    job = search()
    assert isinstance(job, Search)
    assert (job.keep, job.minutes, job.evolution.population) == (0.8, 10, 12)
    assert job.subjects == ("dense", "start", "pruned")
