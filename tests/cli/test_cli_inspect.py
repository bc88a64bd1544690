"""`inspect` on a real run of the tiny model, its process replaced by the same code in this one."""

from __future__ import annotations

import json

import pytest

from apt_core.base.policy import PRIVATE
from apt_core.cli import main
from apt_core.events import Failed
from apt_core.jobs import make_job
from apt_core.runs import inspecting, inspector
from apt_core.runs.store import Store
from tests.runs.test_inspecting import prune


class Here(inspecting.Inspector):
    """Answers in this process: the processes themselves have tests of their own."""

    def _answered(self, question, folder):
        yield from inspector.replies(question.model_dump_json(), self._store, PRIVATE)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("cli-inspect"))
    return store.root, prune(store)


@pytest.fixture(autouse=True)
def here(data, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(data[0]))
    monkeypatch.setattr("apt_core.cli.inspect.Inspector", Here)


def test_a_layer_for_people(data, capsys):
    assert main(["inspect", data[1], "--block", "1", "--layer", "self_attn.q_proj", "--inputs"]) == 0
    said = capsys.readouterr().out
    assert said.count("│") == 2 * 32 and "██" in said  # every second weight: the corner is drawn
    for part in (
        "64 of 64",
        "hold 2:4",
        "kept weights were moved",
        "head",
        "Predicted loss",
        "δ G δᵀ",
        "Relative error",
    ):
        assert part.replace("64 of 64", "of 64 weights") in said, part


def test_a_layer_for_programs(data, capsys):
    assert main(["inspect", data[1], "--block", "0", "--layer", "mlp.down_proj", "--row", "3", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["block"], seen["layer"], seen["worked"]["row"]) == (0, "mlp.down_proj", 3)


def test_depth_and_blocks_alone(data, capsys):
    assert main(["inspect", data[1], "--depth", "--json"]) == 0
    assert [one["block"] for one in json.loads(capsys.readouterr().out)["blocks"]] == [0, 1]
    assert main(["inspect", data[1], "--depth"]) == 0 and "KL of the lens" in capsys.readouterr().out
    assert main(["inspect", data[1], "--blocks-alone"]) == 0 and "share" in capsys.readouterr().out


@pytest.mark.parametrize(
    "asked, said",
    [
        ([], "--block and --layer"),
        (["--block", "1"], "--block and --layer"),
        (["--block", "9", "--layer", "mlp.up_proj"], "0 to 1"),
        (["--block", "0", "--layer", "nothing"], "mlp.up_proj"),
        (["--block", "-1", "--layer", "mlp.up_proj"], "block"),
        (["--block", "0", "--layer", "mlp.up_proj", "--row", "99999"], "no row 99999"),
        (["--depth", "--block", "0"], "whole model"),
        (["--depth", "--blocks-alone"], "not allowed"),
    ],
)
def test_one_sentence_and_status_2(data, capsys, asked, said):
    assert main(["inspect", data[1], *asked, "--json"]) == 2
    out = capsys.readouterr()
    assert said in json.loads(out.out)["error"]["message"] and out.err.strip().count("\n") == 0


def test_runs_that_have_no_inside(data, capsys):
    waiting = Store().create(make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude"))
    for run_id, said in ((waiting, "not finished"), ("20260101-000000-abcd", "no run")):
        assert main(["inspect", run_id, "--depth"]) == 2
        assert said in capsys.readouterr().err


def test_a_process_that_dies_is_no_bad_input(data, capsys, monkeypatch):
    dead = Failed(reason="worker_died", message="It ended.")
    monkeypatch.setattr(Here, "_answered", lambda *_: iter([dead]))
    assert main(["inspect", data[1], "--block", "0", "--layer", "mlp.gate_proj"]) == 1
    assert capsys.readouterr().err.strip() == "It ended."
