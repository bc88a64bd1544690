"""Models take turns; a difference within the spread of repeats is none."""

from __future__ import annotations

from functools import partial

import torch

from apt_core.base.paths import ASSETS
from apt_core.events import Speed
from apt_core.measure import speed
from apt_core.measure.speed import alternate, held, in_turns
from apt_core.models.load.loading import load


def of(median, low, high):
    return Speed(median=median, low=low, high=high, repeats=3)


def test_a_difference_within_the_spread_is_not_measurable_now():
    assert of(118, 117, 119).over(of(100, 90, 110)) is None
    assert of(118, 100, 120).over(of(100, 99, 101)) is None
    assert of(118, 117, 119).over(of(100, 99, 101)) == 1.18


def test_models_take_turns_and_the_first_turn_does_not_count(monkeypatch):
    turns = []
    monkeypatch.setattr(speed, "_prefill_seconds", lambda model, n: turns.append(model) or 2.0 + len(turns))
    monkeypatch.setattr(speed, "_decode_seconds", lambda model, n: 0.5)
    found = alternate({"dense": "d", "pruned": "p"}, repeats=2, prefill=60, decode=8)
    assert turns == ["d", "p"] * 3
    assert found["dense"].prefill == Speed(median=(60 / 5 + 60 / 7) / 2, low=60 / 7, high=60 / 5, repeats=2)
    assert found["pruned"].decode == of(16, 16, 16).model_copy(update={"repeats": 2})


def test_no_turn_begins_when_the_time_is_over_and_two_count(monkeypatch):
    monkeypatch.setattr(speed, "_prefill_seconds", lambda model, n: 1.0)
    monkeypatch.setattr(speed, "_decode_seconds", lambda model, n: 1.0)
    monkeypatch.setattr(speed, "perf_counter", iter(range(0, 1000, 10)).__next__)
    holders = {name: partial(held, name) for name in ("dense", "pruned")}
    assert list(in_turns(holders, repeats=9, seconds=5)) == [0, 1, 2]


def test_real_models_give_numbers():
    model = load(ASSETS / "models" / "tiny-llama", torch.float32, "cpu")[0]
    found = alternate({"one": model}, repeats=2, prefill=32, decode=3)["one"]
    assert found.prefill.low <= found.prefill.median <= found.prefill.high
    assert found.prefill.median > found.decode.median > 0
