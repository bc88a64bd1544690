"""What a recovery takes: it grows as its parts do, and what does not fit is refused before it starts."""

from __future__ import annotations

import pytest

from apt_core.estimate import preflight
from apt_core.estimate.memory import peak_bytes
from apt_core.estimate.preflight import estimate, packaged_rates
from apt_core.estimate.training import training_bytes, work_of
from apt_core.estimate.work import stages_of
from apt_core.jobs import make_job
from apt_core.methods.registry import RECOVERIES
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import known_facts

SMOL = known_facts(CATALOGUE["smollm2-135m"])
PARENT = "run:20261124-100000-abcd"


def job(method="spp", steps=100, **training):
    return make_job("recover", model={"id": PARENT}, method=method, optimiser_steps=steps, training=training)


def train_seconds(wanted):
    rates = packaged_rates("float32")
    return rates.seconds("train", stages_of(wanted, SMOL, "float32")["train"], "float32")


@pytest.mark.parametrize("method", list(RECOVERIES))
def test_each_method_says_what_it_takes(method):
    work = work_of(job(method), SMOL)
    assert 0 < work.trained <= SMOL.parameters
    assert work.products >= 2 * SMOL.prunable  # at least one way forwards
    assert training_bytes(job(method), SMOL) > 4 * SMOL.parameters


def test_what_is_trained_is_what_the_optimiser_holds():
    """SPP of rank 16: A [16, in] and b [out] of each of 210 layers."""
    shapes = [(576, 576), (576, 192), (576, 192), (576, 576), (576, 1536), (576, 1536), (1536, 576)]
    assert work_of(job("spp"), SMOL).trained == 30 * sum(16 * width + rows for width, rows in shapes)
    assert work_of(job("lora"), SMOL).trained == 30 * sum(8 * (width + rows) for width, rows in shapes)
    assert work_of(job("distill"), SMOL).trained == SMOL.prunable


def test_time_grows_with_steps_and_tokens():
    once = train_seconds(job(steps=100))
    assert train_seconds(job(steps=200)) == pytest.approx(2 * once, rel=0.05)
    assert train_seconds(job(steps=100, batch=4)) > 1.5 * once
    assert train_seconds(job("distill")) > once > train_seconds(job("lora"))


def test_memory_grows_with_tokens_in_a_step():
    small, large = (peak_bytes(job(batch=batch), SMOL, "float32", "memory") for batch in (1, 8))
    assert large > small
    assert peak_bytes(job("distill"), SMOL, "float32", "memory") > small


def test_what_does_not_fit_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(preflight, "free_memory", lambda: 1_000_000_000)
    refusal = estimate(job("distill"), SMOL).refusal
    assert "fewer or shorter windows in a step" in refusal
    monkeypatch.setattr(preflight, "free_memory", lambda: 10**12)
    needs = estimate(job("distill"), SMOL)
    assert needs.refusal is None
    assert "of training" in needs.sentences[0] and needs.walk == "halting"


def test_a_window_longer_than_the_model_reads_is_refused():
    assert "longer than" in estimate(job(length=32768), SMOL).refusal
