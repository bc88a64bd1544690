"""Both models of a run are timed in turns at its end, where both fit; where they do not, each alone."""

from __future__ import annotations

import pytest
import torch

import apt_core
from apt_core import events as ev
from apt_core.base.patterns import parse_pattern
from apt_core.events.records import RunRecord, fold
from apt_core.execute import measuring, prune, speeds
from apt_core.measure.speed import Speeds
from apt_core.reports.verdict import verdict_of

PLAN = apt_core.plan(
    "tiny-random-llama",
    "magnitude",
    "2:4",
    calibration={"text": "wiki-sample", "samples": 2, "length": 64},
    evaluation={"text": "wiki-sample", "samples": 2, "length": 64},
)


def record_of(events):
    stamped = [ev.Stamped(seq=n, at=n, event=event) for n, event in enumerate(events)]
    return fold(RunRecord(id="x", job=PLAN), stamped)


@pytest.mark.parametrize("weights", ["auto", "memory"])
def test_dense_and_pruned_take_turns_with_their_own_weights(monkeypatch, weights):
    """auto: read from files block by block; memory: the dense model is loaded once more."""
    seen: dict[str, list[float]] = {}
    job = PLAN.model_copy(update={"resources": PLAN.resources.model_copy(update={"weights": weights})})

    def in_turns(holders, *how):
        for name in ("dense", "pruned", "dense", "pruned"):
            with holders[name]() as model:
                weight = model.model.layers[0].self_attn.q_proj.weight
                seen.setdefault(name, []).append(float((weight == 0).float().mean()))
        yield 0
        one = ev.Speed(median=20.0, low=19.0, high=21.0, repeats=4)
        two = one.model_copy(update={"median": 30.0, "low": 29.0, "high": 31.0})
        return {"dense": Speeds(prefill=one, decode=one), "pruned": Speeds(prefill=two, decode=two)}

    monkeypatch.setattr(speeds, "in_turns", in_turns)
    events = list(apt_core.run(job))
    assert seen == {"dense": [0.0, 0.0], "pruned": [0.5, 0.5]}
    record = record_of(events)
    assert record.dense_speed.decode.median == 20.0 and record.pruned_speed.tokens_per_second == 30.0
    assert verdict_of(record).speed == "faster" and verdict_of(record).decode == 1.5
    assert [one.detail for one in events if one.kind == "progress"][-2:] == ["speed of both in turns"] * 2


def test_a_model_that_does_not_fit_twice_is_timed_alone(monkeypatch):
    monkeypatch.setattr(speeds, "TIMED_IN_TURNS_BYTES", 1)
    monkeypatch.setattr(measuring, "decoding_speed", lambda model: 7.0)
    record = record_of(apt_core.run(PLAN))
    assert record.dense_speed.tokens_per_second == 7.0 and record.dense_speed.decode is None
    assert len(record.measured) == 2


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError()])
def test_a_run_does_not_fail_at_its_end_for_want_of_room(monkeypatch, error):
    def no_room(*args):
        raise error

    monkeypatch.setattr(speeds, "_holders", no_room)
    record = record_of(apt_core.run(PLAN))
    assert record.status == "finished" and record.dense_speed.tokens_per_second is None
    assert any("no room for both models" in warning.message for warning in record.warnings)
    assert verdict_of(record).speed == "not measured"


def test_what_sparse_kernels_refuse_is_said_and_the_run_goes_on(monkeypatch):
    monkeypatch.setattr(prune, "_may_use_sparse_kernels", lambda job, device: True)
    record = record_of(apt_core.run(PLAN))
    assert record.status == "finished" and record.pruned_speed.decode
    assert record.sparse_kernels.layers == 0 and record.sparse_kernels.why


def test_sparse_kernels_have_turns_of_their_own(monkeypatch):
    monkeypatch.setattr(prune, "_may_use_sparse_kernels", lambda job, device: True)
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", lambda weight: weight.clone())
    record = record_of(apt_core.run(PLAN))
    found = record.sparse_kernels
    assert found.layers == len(record.layers) and found.why == ""
    assert found.decode.repeats == record.pruned_speed.decode.repeats and found.prefill.median > 0


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: not supported"), torch.OutOfMemoryError("full")])
def test_sparse_kernels_that_refuse_the_whole_model_leave_the_run_and_the_other_speeds(monkeypatch, error):
    """The trial had multiplied 16 rows and one; the turn multiplies 64 tokens, and its refusal ended the run."""
    linear = torch.nn.functional.linear

    class Compressed(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func is linear and args[0].shape[-2] > 16:
                raise error
            return super().__torch_function__(func, types, args, kwargs or {})

    monkeypatch.setattr(prune, "_may_use_sparse_kernels", lambda job, device: True)
    monkeypatch.setattr(
        torch.sparse, "to_sparse_semi_structured", lambda weight: weight.clone().as_subclass(Compressed)
    )
    record = record_of(apt_core.run(PLAN))
    assert record.status == "finished" and record.sparse_kernels.layers == 0
    assert record.sparse_kernels.why == str(error) and record.sparse_kernels.decode is None
    assert record.dense_speed.decode and record.pruned_speed.prefill


def test_only_two_of_four_on_a_gpu_asks_for_sparse_kernels():
    other = PLAN.model_copy(update={"pattern": parse_pattern("4:8")})
    asked = [
        prune._may_use_sparse_kernels(job, device) for job in (PLAN, other) for device in ("cuda:0", "cpu")
    ]
    assert asked == [True, False, False, False]
