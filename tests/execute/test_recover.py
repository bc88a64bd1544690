"""Recovery: every zero stays, training goes on from a kept state exactly, and what cannot work is one sentence."""

from __future__ import annotations

import errno
import os
import signal
import time

import pytest
import torch
from recoveries import TRAINING, WINDOWS, done, events, here, pruned, recovery, weights
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

import apt_core
from apt_core.base.errors import BadInput, BadText, RunFailed
from apt_core.events import Evaluated, Finished, Trained, TrainingBegan
from apt_core.events.records import summary
from apt_core.execute import kept, training_state
from apt_core.execute.context import Context
from apt_core.execute.training_state import TrainingState
from apt_core.jobs import make_job
from apt_core.methods.registry import RECOVERIES
from apt_core.reports.run_words import compares_sizes
from apt_core.reports.verdict import verdict
from apt_core.runs.launcher import Launcher
from apt_core.ui.views.tables import size_panel


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all tests of this file: what is pruned in it stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("recover")
        patch.setenv("APT_CACHE", str(folder / "cache"))
        yield here(patch, folder)


@pytest.fixture(scope="module")
def parent(store):
    return pruned(store)


def needs_peft(method):
    if method == "lora":
        pytest.importorskip("peft")


def matrices(found):
    return {name: weight for name, weight in found.items() if weight.ndim == 2 and "layers" in name}


def some_slow(*quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in RECOVERIES]


@pytest.mark.parametrize("method", list(RECOVERIES))
@pytest.mark.parametrize("pattern", ["2:4", pytest.param("0.6", marks=pytest.mark.slow)])
def test_every_zero_stays_and_kept_weights_learn(store, parent, method, pattern):
    needs_peft(method)
    parent = parent if pattern == "2:4" else pruned(store, pattern)
    child = done(store, recovery(parent.id, method))
    assert child.status == "finished", child.failure
    before, after = (matrices(weights(store.checkpoint(run.id))) for run in (parent, child))
    assert before.keys() == after.keys()
    for name, weight in after.items():
        assert (weight[before[name] == 0] == 0).all(), name
        if pattern == "2:4":
            assert ((weight.reshape(-1, 4) != 0).sum(1) <= 2).all(), name
    assert any(not torch.equal(weight, before[name]) for name, weight in after.items())
    assert child.finished.sparsity >= parent.sparsity
    AutoModelForCausalLM.from_pretrained(store.checkpoint(child.id))


def test_what_a_run_says(store, parent):
    """Dense, before and recovered perplexity, the curve from step 0, the lineage; nothing of the training is left."""
    child = done(store, recovery(parent.id, "spp", steps=5))
    told = summary(child)
    assert told["made_from"] == parent.id and told["kind"] == "recover"
    assert told["perplexity"]["dense"] == pytest.approx(parent.dense.perplexity, rel=1e-2)
    assert told["perplexity"]["before"] == pytest.approx(parent.pruned.perplexity, rel=1e-2)
    assert told["perplexity"]["recovered"] == child.made.perplexity
    assert child.ratio == child.made.perplexity / child.dense.perplexity
    assert [one["step"] for one in told["steps"]] == [0, 2, 4, 5]
    assert [one["tokens"] for one in told["steps"]] == [0, 128, 256, 320]
    assert told["steps"][0]["loss"] is None and told["steps"][-1]["loss"] > 0
    assert told["trained"]["sparsity"] == pytest.approx(0.5)
    assert told["trained"]["windows"] == 40 and told["trained"]["held_out"] == 4
    assert not (store.folder(child.id) / kept.TRAINING).exists()
    again = done(store, recovery(child.id, "partial", steps=2))  # of a recovery another one
    assert again.status == "finished"
    assert summary(again)["perplexity"]["dense"] == pytest.approx(parent.dense.perplexity, rel=1e-2)


def test_one_process_trains_in_one_precision_and_then_in_another(store, parent):
    """As the Python API and a notebook do; what was trained before changes nothing."""

    def losses(dtype):
        child = done(store, recovery(parent.id, "spp", steps=2, dtype=dtype))
        assert child.status == "finished", child.failure
        return [one.loss for one in child.steps if one.step]

    half, full = losses("bfloat16"), losses("float32")
    assert half != full and losses("bfloat16") == half and losses("float32") == full


def test_it_says_how_large_the_dense_model_and_the_recovered_one_are(store):
    """Of a model without some of its blocks the smaller number stood under `dense`, and none under `pruned`."""
    smaller = done(
        store, apt_core.plan("tiny-llama", "depth", 0.25, {"criterion": "last"}, evaluation=WINDOWS)
    )
    child = done(store, recovery(smaller.id, "partial", steps=1))
    assert summary(child)["parameters"] == smaller.parameters == summary(smaller)["parameters"]
    assert child.parameters["pruned"] < child.parameters["dense"]
    told, files = summary(child)["bytes"], store.checkpoint(child.id)
    assert told["dense"] == summary(smaller)["bytes"]["dense"]
    assert told["pruned"] == sum(file.stat().st_size for file in files.glob("*.safetensors")) < told["dense"]


def test_what_was_recovered_and_the_dense_model_are_timed_in_turns(store, parent):
    child = done(store, recovery(parent.id, "spp", steps=1))
    told = summary(child)
    assert all(told["tokens_per_second"][side] > 0 for side in ("dense", "pruned"))
    assert all(told["speed"][side]["decode"]["repeats"] > 1 for side in ("dense", "pruned"))
    assert {"dense", "pruned"} <= told["sizes"].keys()
    assert verdict(child).endswith("speed was measured with dense kernels alone.")
    assert compares_sizes(child) and not compares_sizes(child.model_copy(update={"measured": ()}))
    assert "<th" in size_panel(child) and "recovered" in size_panel(child)


def test_without_its_dense_model_its_own_size_is_said(store, parent, monkeypatch):
    def gone(*_):
        raise BadInput("It is gone.")

    monkeypatch.setattr(Context, "dense_of", gone)
    told = summary(done(store, recovery(parent.id, "spp", steps=1)))
    assert told["bytes"]["dense"] is None and told["bytes"]["pruned"] > 0
    assert told["tokens_per_second"] == {"dense": None, "pruned": None}


@pytest.mark.slow
def test_distillation_comes_closer_to_the_dense_model(store):
    parent = pruned(store, "0.7", "tiny-llama")
    learning = {"training": TRAINING | {"batch": 4, "length": 64}}
    child = done(store, recovery(parent.id, "distill", steps=12, **learning))
    assert child.made.perplexity < 0.95 * child.before.perplexity
    assert child.steps[-1].held_out < child.steps[0].held_out


@pytest.mark.slow
def test_the_bundled_mamba_is_recovered(store):
    parent = pruned(store, "0.5", "tiny-mamba")
    child = done(store, recovery(parent.id, "spp", steps=2))
    assert child.status == "finished", child.failure
    before, after = (matrices(weights(store.checkpoint(run.id))) for run in (parent, child))
    assert all((weight[before[name] == 0] == 0).all() for name, weight in after.items())


def trained_until(job, store, folder, step):
    """Close the run once it has done this many steps: what Stop does."""
    work = events(store, job, folder)
    for event in work:
        if event.kind == "progress" and event.stage == "train" and event.done == step:
            work.close()
            return
    raise AssertionError("it ended before")


def state_in(store, run_id, folder):
    """As if the run of this id had been the one that was stopped."""
    (folder / kept.TRAINING).rename(store.folder(run_id) / kept.TRAINING)


@pytest.mark.parametrize("method", some_slow("spp"))
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(store, parent, tmp_path, method):
    """Weights and curve are those of the run that was not stopped, bit for bit: dropout and order included."""
    needs_peft(method)
    whole = done(store, recovery(parent.id, method, steps=6))
    stopped = store.create(recovery(parent.id, method, steps=6))
    store.request_cancel(stopped)
    trained_until(recovery(parent.id, method, steps=6), store, tmp_path, 3)
    state_in(store, stopped, tmp_path)
    rest = done(store, recovery(parent.id, method, steps=6, resume=stopped))
    assert rest.status == "finished", rest.failure
    assert rest.training.step == 3
    assert [one.held_out for one in rest.steps] == [one.held_out for one in whole.steps]
    one, other = (weights(store.checkpoint(run.id)) for run in (whole, rest))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_begins_again_goes_on_from_its_own_state(store, parent, tmp_path):
    """As on another node, after its own was lost."""
    trained_until(recovery(parent.id), store, tmp_path, 3)
    began = next(
        event for event in events(store, recovery(parent.id), tmp_path) if isinstance(event, TrainingBegan)
    )
    assert began.step == 3


def test_another_training_is_not_gone_on_from(store, parent, tmp_path):
    stopped = store.create(recovery(parent.id))
    store.request_cancel(stopped)
    with pytest.raises(BadInput, match="kept no state"):
        list(events(store, recovery(parent.id, resume=stopped), tmp_path))
    trained_until(recovery(parent.id), store, tmp_path, 2)
    state_in(store, stopped, tmp_path)
    with pytest.raises(BadInput, match="trained something else"):
        list(events(store, recovery(parent.id, seed=1, resume=stopped), tmp_path))
    file = store.folder(stopped) / kept.TRAINING / "state.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadInput, match="cannot be read"):
        list(events(store, recovery(parent.id, resume=stopped), tmp_path))


def test_a_state_that_was_never_whole_begins_anew(store, parent, tmp_path):
    """Of a worker killed while it kept its first one."""
    (tmp_path / kept.TRAINING).mkdir()
    (tmp_path / kept.TRAINING / "state.part").write_bytes(b"half")
    found = list(events(store, recovery(parent.id, steps=2), tmp_path))
    assert next(one for one in found if isinstance(one, TrainingBegan)).step == 0
    assert isinstance(found[-1], Finished) and not (tmp_path / kept.TRAINING).exists()


def test_fewer_steps_than_were_done_are_refused(store, parent, tmp_path):
    stopped = store.create(recovery(parent.id))
    store.request_cancel(stopped)
    trained_until(recovery(parent.id), store, tmp_path, 3)
    state_in(store, stopped, tmp_path)
    with pytest.raises(BadInput, match="came to step 3 already"):
        list(events(store, recovery(parent.id, steps=2, resume=stopped), tmp_path))


def test_too_little_memory_to_go_on_does_not_condemn_the_state(store, parent, tmp_path, monkeypatch):
    def no_memory(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 bytes")

    trained_until(recovery(parent.id), store, tmp_path, 2)
    monkeypatch.setattr("apt_core.passes.training.Trainer.restore", no_memory)
    with pytest.raises(RuntimeError, match="allocate memory"):
        list(events(store, recovery(parent.id), tmp_path))


def test_weights_that_broke_in_the_last_step_are_one_sentence(store, parent, tmp_path, monkeypatch):
    losses = iter([2.0, 3.0, float("nan")])  # of the dense model, before the first step, and after it
    monkeypatch.setattr("apt_core.execute.recover.mean_loss", lambda *_: next(losses))
    with pytest.raises(RunFailed, match="smaller learning rate"):
        list(events(store, recovery(parent.id, {"name": "spp"}), tmp_path))


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), SafetensorError("No space left (os error 28)")]
)
def test_a_full_disk_stops_no_training(store, parent, tmp_path, monkeypatch, error):
    """It cannot be gone on from later than where it was kept last, and says so once."""
    trained_until(recovery(parent.id), store, tmp_path, 2)
    before = (tmp_path / kept.TRAINING / "state.safetensors").read_bytes()

    def full(*_args, **_more):
        (tmp_path / kept.TRAINING / "state.part").write_bytes(b"half")
        raise error

    monkeypatch.setattr("apt_core.execute.kept_tensors.save_file", full)
    monkeypatch.setattr("apt_core.execute.recover._KEEP_STEPS", 1)
    warnings = []
    work = events(store, recovery(parent.id), tmp_path)
    for event in work:
        warnings += [event.message] if event.kind == "warned" else []
        if event.kind == "progress" and event.stage == "train" and event.done == 4:
            work.close()
    assert (
        [one for one in warnings if "cannot be kept" in one and "No space left" in one] == warnings[:1] != []
    )
    assert (tmp_path / kept.TRAINING / "state.safetensors").read_bytes() == before
    assert [path.name for path in (tmp_path / kept.TRAINING).iterdir()] == ["state.safetensors"]


def test_it_stops_when_the_curve_is_flat(store, parent):
    asked = {"stop_when_flat": 5.0, "training": TRAINING | {"held_out": 2}}
    child = done(store, recovery(parent.id, {"name": "spp", "learning_rate": 1e-6}, steps=40, **asked))
    assert child.status == "finished" and child.steps[-1].step < 40
    assert any("the curve is flat" in one.message for one in child.warnings)


def test_points_of_the_warm_up_do_not_say_that_a_curve_is_flat(store, parent):
    """While the learning rate rises from nothing every curve is flat."""
    asked = {"stop_when_flat": 5.0, "warm_up": 0.5, "training": TRAINING | {"held_out": 2}}
    child = done(store, recovery(parent.id, {"name": "spp", "learning_rate": 1e-6}, steps=20, **asked))
    assert child.training.warm_up == 10
    assert 10 + 6 <= child.steps[-1].step < 20
    assert any("the curve is flat" in one.message for one in child.warnings)


def test_what_a_stopped_run_reached_can_be_made_a_model(store, parent, tmp_path):
    """With the steps that were done alone it merges and measures; the warm-up is still that of the plan it stopped in,
    and the stopped run can be gone on from afterwards."""
    stopped = store.create(recovery(parent.id, warm_up=0.5))
    store.request_cancel(stopped)
    trained_until(recovery(parent.id, warm_up=0.5), store, tmp_path, 4)
    state_in(store, stopped, tmp_path)
    assert store.bounds_reached(stopped) == {"optimiser_steps": 4}
    early = done(store, recovery(parent.id, steps=4, warm_up=0.5, resume=stopped))
    assert early.status == "finished", early.failure
    assert early.steps[-1].step == 4 and early.made is not None and store.checkpoint(early.id)
    assert early.training.warm_up == 3
    assert store.bounds_reached(stopped) == {"optimiser_steps": 4}
    with pytest.raises(BadInput, match="kept no state"):
        store.bounds_reached(parent.id)
    (store.folder(stopped) / kept.KEPT_BY_TRAINING).write_bytes(b"torn")
    with pytest.raises(BadInput, match="cannot be read"):
        store.bounds_reached(stopped)


def test_events_come_in_their_order(store, parent, tmp_path):
    kinds = [type(event) for event in events(store, recovery(parent.id, steps=1), tmp_path)]
    said = [kind for kind in kinds if kind in (Evaluated, TrainingBegan, Trained, Finished)]
    assert said == [Evaluated, Evaluated, TrainingBegan, Trained, Trained, Evaluated, Finished]


def test_what_cannot_work_is_one_sentence(store, parent, tmp_path):
    with pytest.raises(BadInput, match="what a run made"):
        make_job("recover", model={"id": "tiny-llama"}, method="spp")
    with pytest.raises(BadInput, match="no way to recover 'magic'"):
        recovery("20261124-100000-abcd", "magic")
    with pytest.raises(BadInput, match="has no option 'depth'"):
        recovery("20261124-100000-abcd", {"name": "spp", "depth": 3})
    text = tmp_path / "text.txt"
    text.write_text("Too few words for that many windows. " * 40, "utf-8")
    own = {"training": TRAINING | {"text": str(text), "held_out": 64}}
    with pytest.raises(BadText, match="64 are held out"):
        list(events(store, recovery(parent.id, **own), tmp_path))
    with pytest.raises(BadText, match="read the same text"):
        both = {"training": TRAINING | {"text": str(text)}, "evaluation": WINDOWS | {"text": str(text)}}
        list(events(store, recovery(parent.id, **both), tmp_path))


def test_lora_leaves_out_what_peft_refuses_in_a_mamba(store):
    needs_peft("lora")
    parent = pruned(store, model="tiny-mamba")
    child = done(store, recovery(parent.id, "lora"))
    assert child.status == "finished", child.failure
    assert [one.message for one in child.warnings if "no mixer.out_proj" in one.message]
    before, after = (weights(store.checkpoint(run.id)) for run in (parent, child))
    learnt = {name.rpartition("mixer.")[2] for name in after if not torch.equal(before[name], after[name])}
    assert learnt == {"in_proj.weight", "x_proj.weight"}


def test_without_peft_lora_says_what_to_do(store, parent, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install peft"):
        list(events(store, recovery(parent.id, "lora"), tmp_path))


def test_a_dense_model_that_is_gone_is_done_without(store, parent, tmp_path, monkeypatch):

    def gone(_self, run_id):
        raise BadInput("The run that it was made from is gone.")

    monkeypatch.setattr(type(store), "dense_of", gone)
    child = done(store, recovery(parent.id, "spp", steps=2))
    assert child.status == "finished" and child.dense is None and child.training.dense_loss is None
    assert "left out of the comparison" in child.warnings[0].message
    assert done(store, recovery(parent.id, "distill", steps=2)).status == "failed"


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_step_is_gone_on_from(store, parent, monkeypatch):
    """A real worker, a real SIGKILL while it trains: the run fails, keeps its curve and its state, and a second one
    ends where a run that nobody killed does."""
    launcher = Launcher(store, interval=0.1)
    first = launcher.submit(recovery(parent.id, steps=600))
    state_file = store.folder(first) / kept.TRAINING / "state.safetensors"
    deadline = time.monotonic() + 120
    while not state_file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with store.index.read() as rows:
        os.kill(rows.get(first).pid, signal.SIGKILL)
    record = launcher.wait(first)
    assert record.status == "failed" and len(record.steps) > 1
    state, _ = training_state.recall(store.training_of(first), TrainingState)
    assert 0 < state.step < 600
    rest = launcher.wait(launcher.submit(recovery(parent.id, steps=600, resume=first)))
    assert rest.status == "finished", rest.failure
    assert rest.training.step == state.step
    whole = launcher.wait(launcher.submit(recovery(parent.id, steps=600)))
    one, other = (weights(store.checkpoint(run.id)) for run in (whole, rest))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [point.held_out for point in whole.steps] == [point.held_out for point in rest.steps]
