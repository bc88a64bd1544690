"""What a search takes: never longer than its minutes, less where fewer candidates are asked for; refused before."""

from __future__ import annotations

import pytest

from apt_core.base.policy import PRIVATE, STRICT
from apt_core.estimate import judging, preflight
from apt_core.estimate.memory import peak_bytes
from apt_core.estimate.preflight import estimate, packaged_rates
from apt_core.jobs import make_job
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import known_facts

SMOL = known_facts(CATALOGUE["smollm2-135m"])
RATES = packaged_rates("float32")


def search(**more):
    return make_job("search", model={"id": "smollm2-135m"}, **more)


def seconds(**more):
    return estimate(search(**more), SMOL, RATES, PRIVATE).parts["search"]


def test_the_minutes_bound_it_and_so_do_the_generations():
    assert seconds(minutes=1) == 60 and seconds(minutes=7) == 7 * 60
    few = seconds(generations=1, minutes=1440)
    assert few < 1440 * 60
    assert seconds(generations=3, minutes=1440) > 1.5 * few
    assert seconds(generations=1, minutes=1440, calibration={"held_out": 8}) == pytest.approx(
        2 * few, rel=0.1
    )


def test_everything_it_does_has_its_seconds():
    needs = estimate(search(), SMOL, RATES, PRIVATE)
    assert {"load", "dense_eval", "gradients", "search", "pruned_eval", "start_eval"} <= needs.parts.keys()
    assert all(needs.parts[stage] > 0 for stage in ("gradients", "start_eval", "forward"))
    assert "of searching" in needs.sentences[0]
    assert needs.seconds > 600


def test_memory_grows_with_what_is_held_out():
    small, large = (
        peak_bytes(search(calibration={"held_out": held}), SMOL, "float32", "memory") for held in (4, 1024)
    )
    assert large > small


def test_compensated_candidates_take_inverses_and_solves_beside_their_passes():
    """SmolLM2's output projections read 576 and 1,536 inputs in each of 30 blocks."""
    masked, compensated = (search(evolution={"judge": judge}) for judge in ("masked", "compensated"))
    assert judging.inverses_bytes(compensated, SMOL) == 30 * 4 * (576**2 + 1536**2)
    assert judging.inverses_bytes(masked, SMOL) == 0
    one = judging.solving_of(compensated, SMOL)
    gone = 0.2 * 1536  # of the MLP's, as the job says; the attention's are fewer
    assert one.products > 30 * 2 * 576 * gone * 1536
    assert judging.solving_of(masked, SMOL).products == 0
    few = [
        seconds(evolution={"judge": judge}, generations=1, minutes=1440)
        for judge in ("masked", "compensated")
    ]
    assert few[0] < few[1] < 1.5 * few[0]
    before = [estimate(job, SMOL, RATES, PRIVATE).parts["gradients"] for job in (masked, compensated)]
    assert before[0] < before[1]
    far = search(evolution={"judge": "compensated"}, calibration={"held_out": 1024})
    near = search(evolution={"judge": "masked"}, calibration={"held_out": 1024})
    more = peak_bytes(far, SMOL, "float32", "memory") - peak_bytes(near, SMOL, "float32", "memory")
    assert more >= judging.inverses_bytes(compensated, SMOL)


def test_a_public_host_refuses_long_searches():
    assert "20 minutes at most" in estimate(search(minutes=21), SMOL, RATES, STRICT).refusal
    assert estimate(search(minutes=20), SMOL, RATES, STRICT).refusal is None


def test_what_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(preflight, "free_memory", lambda: 100_000_000)
    assert "of memory" in estimate(search(), SMOL, RATES, PRIVATE).refusal
    mamba = known_facts(CATALOGUE["tiny-mamba"])
    monkeypatch.setattr(preflight, "free_memory", lambda: 10**12)
    assert "no attention heads or MLP channels" in estimate(search(), mamba, RATES, PRIVATE).refusal
