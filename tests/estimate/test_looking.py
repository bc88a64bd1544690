"""The time of a look along the depth, by the run's own pace."""

from __future__ import annotations

import pytest

from apt_core.estimate.looking import looking_seconds
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion
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
