"""The functions of `apt_core` in a script: what they store, what they refuse, how they end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import apt_core
from apt_core import events as ev
from apt_core.base.paths import ASSETS
from apt_core.cli import main
from apt_core.runs import processes
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.texts.sources import read

TINY = "tiny-random-llama"
LITTLE = {
    "samples": 2,
    "length": 32,
    "calibration": "wiki-sample",
    "eval": "wiki-sample",
    "eval_samples": 2,
    "eval_length": 48,
}


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_keywords_are_the_flags_of_the_command_line():
    by_flags = apt_core.plan(
        TINY, "wanda", sparsity=0.5, eval_skip=3, device="cpu", allocation="owl", **LITTLE
    )
    by_fields = apt_core.plan(
        TINY, "wanda", "50%", {"allocation": "owl"}, device="cpu",
        calibration={"text": "wiki-sample", "samples": 2, "length": 32},
        evaluation={"text": "wiki-sample", "samples": 2, "length": 48, "skip": 3},
    )  # fmt: skip
    assert by_flags == by_fields
    two = apt_core.plan(TINY, eval="wiki-sample,wikipedia", eval_samples=4)
    assert [(one.text, one.samples) for one in two.evaluation] == [("wiki-sample", 4), ("wikipedia", 4)]
    assert apt_core.plan(TINY).pattern.label == "2:4"
    mixed = apt_core.plan(TINY, calibration={"text": "wiki-sample"}, samples=5)
    assert (mixed.calibration.text, mixed.calibration.samples) == ("wiki-sample", 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pattern": "2:4", "sparsity": 0.5},
        {"sampels": 8},
        {"samples": 0},
        {"calibration": "no-such-text"},
        {"model": "no-such-model"},
        {"worker": True, "store": False},
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_stored(wrong):
    with pytest.raises(apt_core.BadInput):
        apt_core.prune(**{"model": TINY, "method": "wanda"} | wrong)
    assert Store().list() == []


@pytest.mark.parametrize("worker", [False, True])
def test_a_run_is_stored_and_copied_as_the_command_line_does(worker, tmp_path, capsys):
    seen: list[ev.Event] = []
    out = tmp_path / "out"
    record = apt_core.prune(
        TINY, "wanda", sparsity=0.5, out=out, worker=worker, on_event=seen.append, **LITTLE
    )
    assert record.status == "finished" and record.weights == out
    assert json.loads((out / "apt_recipe.json").read_text())["model"]["id"] == TINY
    assert len([one for one in seen if isinstance(one, ev.LayerPruned)]) == len(record.layers) > 0
    assert main(["runs", "show", record.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["perplexity"]["pruned"] == record.pruned.perplexity
    (listed,) = apt_core.records()
    assert listed.id == record.id and apt_core.record(record.id).pruned == record.pruned
    with pytest.raises(apt_core.BadInput, match="exists already"):
        apt_core.prune(TINY, "wanda", out=out, **LITTLE)
    assert len(Store().list()) == 1


def test_a_run_that_is_not_stored_leaves_its_model_alone(tmp_path, data):
    record = apt_core.prune(TINY, "magnitude", store=False, out=tmp_path / "out", **LITTLE)
    assert Store().list() == [] and not list((data / "runs").glob("*"))
    assert record.load_model()[0].num_parameters() == record.parameters["dense"]
    assert sorted(path.name for path in tmp_path.iterdir() if path != data) == ["out"]
    gone = apt_core.prune(TINY, "magnitude", store=False, **LITTLE)
    with pytest.raises(apt_core.BadInput, match="no weights"):
        gone.load_model()


def test_what_is_stored_is_recovered_measured_and_compared():
    pruned = apt_core.prune(TINY, "magnitude", sparsity=0.5, **LITTLE)
    recovered = apt_core.recover(
        pruned, steps=2, text="wiki-sample", length=32, batch=2, samples=8, eval="wiki-sample",
        eval_samples=2, eval_length=48,
    )  # fmt: skip
    assert recovered.made_from == pruned.id and recovered.steps[-1].step == 2
    measured = apt_core.evaluate(pruned, "wiki-sample", samples=2, length=48)
    assert measured.perplexity == pytest.approx(pruned.pruned.perplexity, rel=1e-5)
    other = apt_core.prune(TINY, "wanda", sparsity=0.5, **LITTLE)
    assert "method.mask" in apt_core.compare([pruned, other]).differing


def test_what_the_work_raises_comes_out_and_stands_in_the_run(monkeypatch):
    from apt_core import execute

    def broken(job, context):
        yield ev.Progress(stage="load", done=0, total=1)
        raise MemoryError

    monkeypatch.setattr(execute, "run", broken)
    with pytest.raises(MemoryError):
        apt_core.prune(TINY, "wanda", **LITTLE)
    (left,) = Store().list()
    assert left.status == "failed" and left.failure.reason == "out_of_memory"


def test_a_failed_worker_raises_the_error_of_its_kind(tmp_path):
    """Weights that are no numbers show when the model is measured."""
    broken = shutil.copytree(ASSETS / "models" / TINY, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    save_file(
        {name: torch.full_like(one, torch.nan) for name, one in weights.items()}, broken / "model.safetensors"
    )
    with pytest.raises(apt_core.NotNumbers):
        apt_core.prune(str(broken), "magnitude", worker=True, **LITTLE)
    assert Store().list()[0].status == "failed"


SCRIPT = """
import apt_core, sys
def said(event):
    if event.kind == "layer_pruned":
        print("pruning", flush=True)
        import time; time.sleep(0.05)
try:
    record = apt_core.prune("tiny-llama", "sparsegpt", sparsity=0.5, samples=8, length=64, calibration="wiki-sample",
                            eval="wiki-sample", eval_samples=2, eval_length=48, on_event=said)
    print(record.status, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def started() -> subprocess.Popen[str]:
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert script.stdout.readline() == "pruning\n"
    return script


def last_of(script) -> str:
    return script.communicate(timeout=60)[0].splitlines()[-1]


def test_ctrl_c_cancels_the_run():
    script = started()
    script.send_signal(2)
    assert last_of(script) == "interrupted"
    (record,) = Store().list()
    assert record.status == "cancelled" and Store().checkpoint(record.id) is None


def test_a_run_in_a_script_is_cancelled_from_elsewhere_and_its_process_goes_on():
    """The launcher of the page, without any grace, looks on; it signals workers, never the script."""
    script, store = started(), Store()
    (record,) = store.list()
    launcher = Launcher(store, grace=0.0, interval=0.05)
    store.request_cancel(record.id)
    ticking = threading.Event()

    def tick():
        while not ticking.wait(0.05):
            launcher.tick()

    thread = threading.Thread(target=tick)
    thread.start()
    said = last_of(script)
    ticking.set()
    thread.join()
    assert (said, script.returncode) == ("cancelled", 0)
    assert store.get(record.id).status == "cancelled" and store.position(record.id) is None


def test_a_script_that_dies_leaves_a_run_that_failed():
    script, store = started(), Store()
    processes.kill_group(script.pid)
    script.wait()
    deadline = time.monotonic() + 10
    while store.list()[0].live and time.monotonic() < deadline:
        Launcher(store).tick(start_next=False)
    assert store.list()[0].failure.reason == "worker_died"


def test_the_public_names_are_there_without_torch():
    code = (
        "import sys, apt_core\n"
        "names = dir(apt_core)\n"
        "assert {'prune', 'recover', 'compare', 'BadInput', 'PruneError', 'Record'} <= set(names), names\n"
        "assert not [name for name in names if name.startswith('_') and name != '__version__']\n"
        "assert all(hasattr(apt_core, name) for name in names)\n"
        "print([name for name in ('torch', 'gradio', 'plotly', 'pandas') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_that_the_caller_holds_is_pruned_in_place_as_a_run_prunes_it(tmp_path):
    """The same layers, errors and weights as `prune` of the same windows."""
    run = apt_core.prune(
        TINY, "sparsegpt", sparsity=0.5, dtype="float32", device="cpu", out=tmp_path / "out", **LITTLE
    )
    model, tokenizer = apt_core.load_model(TINY, "cpu", "float32")
    model.requires_grad_(True)
    model.train()
    text = read("wiki-sample", "calibration", shared=True)[0]
    held = apt_core.prune_model(model, tokenizer, [text], "sparsegpt", sparsity=0.5, samples=2, length=32)
    errors = [[layer.relative_error for layer in one.layers] for one in (held, run)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-4)
    theirs = run.load_model("cpu", "float32")[0].state_dict()
    assert all(torch.allclose(weight, theirs[name], atol=1e-5) for name, weight in model.state_dict().items())
    assert model.training and all(one.requires_grad for one in model.parameters())
    assert held.status == "finished" and held.sparsity == pytest.approx(0.5, abs=0.01)
    assert "circle" in held._repr_html_() and held.plot("layers").data


def test_a_model_of_ones_own_takes_token_ids_and_an_allocation():
    model, _ = apt_core.load_model(TINY, "cpu", "float32")
    tokens = torch.randint(0, model.config.vocab_size, (2, 24), generator=torch.Generator().manual_seed(0))
    held = apt_core.prune_model(model, None, tokens, "wanda", sparsity=0.6, allocation="loss")
    shares = {layer.sparsity for layer in held.layers}
    assert len(shares) > 2 and held.sparsity == pytest.approx(0.6, abs=0.01)
    with pytest.raises(apt_core.BadInput, match="structures"):
        apt_core.prune_model(model, None, tokens, "depth", sparsity=0.5)
    with pytest.raises(apt_core.BadText):
        apt_core.prune_model(model, apt_core.load_model(TINY)[1], ["too short"], "wanda")
