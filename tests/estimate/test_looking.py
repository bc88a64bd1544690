"""The time of a look: along the depth by the run's own pace, at an allocation by the machine's rates."""

from __future__ import annotations

import pytest

import apt_core
from apt_core.base.errors import BadInput
from apt_core.estimate.looking import allocating_seconds, looking_seconds
from apt_core.estimate.preflight import estimate, packaged_rates
from apt_core.measure.inside.questions import AllocationQuestion, BlocksAloneQuestion, DepthQuestion
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import known_facts
from tests.ui.ui_helpers import a_record

RUN = "20261124-100000-abcd"


def of(record, question=DepthQuestion, **more):
    return looking_seconds(record, question(run=RUN, **more))


def test_it_grows_with_the_windows_and_with_the_models_pace():
    record = a_record()
    assert of(record, windows=2) < of(record, windows=8)
    slow = record.pruned.model_copy(update={"seconds": 300.0})
    slower = record.model_copy(update={"evaluated": (record.dense, slow)})
    start = 5.0 + 2 * record.finished.seconds["load"]
    assert of(slower) - start == pytest.approx(100 * (of(record) - start))


def test_blocks_alone_take_about_half_as_many_passes_as_there_are_blocks():
    record = a_record()
    model = record.model.model_copy(update={"blocks": 30, "prunable": record.model.parameters})
    seconds = of(record.model_copy(update={"model": model}), BlocksAloneQuestion)
    one_pass = 3.0 / (8 * 512) * 2 * 256
    assert seconds - 7.0 == pytest.approx((1 + 31 / 2 + 1) * one_pass)


def test_a_run_that_did_not_measure_says_nothing():
    record = a_record()
    assert of(record.model_copy(update={"evaluated": ()})) is None
    assert of(record.model_copy(update={"model": None})) is None


def test_a_look_at_an_allocation_takes_what_the_allocation_asks_for():
    """The model alone, its spectra, a pass of the text, a pass there and back."""
    facts = known_facts(CATALOGUE["smollm2-135m"]).model_copy(update={"cached": True})

    def seconds(name, **more):
        job = apt_core.plan("smollm2-135m", "apt", more.pop("pattern", 0.7), {"allocation": name}, **more)
        return allocating_seconds(AllocationQuestion.of(job), facts, packaged_rates())

    assert seconds("uniform") == seconds("atp") == seconds("by-hand")
    assert seconds("atp") < seconds("alphapruning") and seconds("atp") < seconds("owl") < seconds("loss")
    more = {"calibration": {"text": "wikipedia", "samples": 128, "length": 512}}
    assert seconds("owl") - seconds("atp") == pytest.approx(
        (seconds("owl", **more) - seconds("atp")) / 4, rel=0.05
    )
    assert seconds("alphapruning", **more) == seconds("alphapruning")
    with pytest.raises(BadInput, match="would decide nothing"):
        seconds("alphapruning", pattern="2:4")
    whole = estimate(
        apt_core.plan("smollm2-135m", "apt", 0.7, {"allocation": "loss"}), facts, packaged_rates()
    )
    assert seconds("loss") < whole.seconds
    unknown = facts.model_copy(update={"layers": ()})
    question = AllocationQuestion.of(apt_core.plan("smollm2-135m", "apt", 0.7))
    assert allocating_seconds(question, unknown, packaged_rates()) is None
