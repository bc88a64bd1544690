"""Sparsities by hand on the command line: begun where a run's were, single layers held."""

from __future__ import annotations

import json

import pytest

import apt_core
from apt_core import events as ev
from apt_core.base.policy import HostPolicy
from apt_core.cli import main
from apt_core.cli.options import prune_from
from apt_core.cli.parser import build_parser
from apt_core.runs.store import Store

BY_HAND = ("--method", "wanda", "--sparsity", "0.5", "--allocation", "by-hand")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    return Store()


def ended(store, *events):
    run_id = store.create(apt_core.plan("tiny-random-llama", "wanda", 0.5))
    for event in [*events, ev.Finished(seconds={}, peak_rss_bytes=1)]:
        store.append(run_id, event)
    with store.index.write() as rows:
        rows.update(run_id, status="finished")
    return run_id


def asked(store, *more):
    options = build_parser().parse_args(["prune", "--model", "tiny-random-llama", *BY_HAND, *more])
    options.policy = HostPolicy()
    return prune_from(options, store).method.allocation


def test_a_run_is_begun_with_and_a_layer_is_held(store):
    run_id = ended(store, ev.Allocated(shares={"0:mlp.up_proj": 0.41237, "1:mlp.up_proj": 0.6}))
    found = asked(
        store,
        *("--set", f"allocation.start=run:{run_id}", "--set", "allocation.held=1:mlp.up_proj=0.3"),
    )
    assert found.start == "0:mlp.up_proj=0.4124, 1:mlp.up_proj=0.6", "the job keeps the numbers, not the run"
    assert found.held == "1:mlp.up_proj=0.3"


def test_a_run_without_an_allocation_and_one_that_is_not_there_are_sentences(store, capsys):
    even = ended(store)
    for run_id, said in ((even, "gave every layer the same"), ("20200101-000000-abcd", "no run 20200101")):
        flags = ["--set", f"allocation.start=run:{run_id}", "--json"]
        assert main(["prune", "--model", "tiny-random-llama", *BY_HAND, *flags]) == 2
        assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert len(store.list()) == 1


@pytest.mark.parametrize("held", ["up_proj=0.5", "0:mlp.up_proj=2"])
def test_what_is_no_layer_is_a_sentence(store, capsys, held):
    assert (
        main(
            ["prune", "--model", "tiny-random-llama", *BY_HAND, "--set", f"allocation.held={held}", "--json"]
        )
        == 2
    )
    assert "such as 3:mlp.down_proj=0.3" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert store.list() == []


@pytest.mark.slow
def test_a_layer_that_is_held_loses_just_that(store, capsys):
    few = ("--calibration", "wiki-sample", "--eval", "wiki-sample", "--samples", "4", "--length", "32")
    flags = ("--eval-samples", "2", "--eval-length", "32", "--set", "allocation.held=1:mlp.up_proj=0.25")
    assert main(["prune", "--model", "tiny-random-llama", *BY_HAND, *few, *flags, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (layer,) = (one for one in told["layers"] if (one["block"], one["layer"]) == (1, "mlp.up_proj"))
    assert layer["sparsity"] == pytest.approx(0.25, abs=0.01) and told["sparsity"] == pytest.approx(
        0.5, abs=0.01
    )
    assert told["allocation"]["name"] == "by-hand"
