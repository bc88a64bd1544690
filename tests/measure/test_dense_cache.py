"""The dense perplexity is measured once; whatever could change it makes it be measured again."""

import shutil

import pytest

import apt_core
from apt_core.base.paths import ASSETS, cache_dir
from apt_core.estimate.rates import FLOAT32_RATES, rates_from
from apt_core.events import Evaluated, parse_line
from apt_core.events.records import RunRecord, fold
from apt_core.measure import dense_cache as dense_once
from tests.ui.ui_helpers import evaluated, some_events, stamped

TINY = ASSETS / "models" / "tiny-random-llama"


@pytest.fixture(autouse=True)
def own_cache(fresh_cache):
    return fresh_cache


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(TINY, tmp_path / "model")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("The dense model reads this text, and so does every rival. " * 60, "utf-8")
    return path


def dense_of(model, text, **changes):
    """What a run says of the dense model; it is not pruned any further."""
    evaluation = {"text": str(text), "samples": 2, "length": 64} | changes
    calibration = {"text": "wiki-sample", "samples": 1, "length": 32}
    recipe = apt_core.plan(str(model), "magnitude", calibration=calibration, evaluation=evaluation)
    run = apt_core.run(recipe)
    try:
        return next(event for event in run if isinstance(event, Evaluated))
    finally:
        run.close()


def kept():
    return sorted((cache_dir() / "dense").iterdir())


def test_a_second_run_reuses_what_the_first_measured(model, text, monkeypatch):
    first = dense_of(model, text)
    monkeypatch.setattr(dense_once, "perplexity_events", None)  # nothing is measured any more
    second = dense_of(model, text)
    assert not first.reused and second == first.model_copy(update={"reused": True})
    assert [path.suffix for path in kept()] == [".json"]


def test_another_text_is_measured(model, text):
    first = dense_of(model, text)
    text.write_text("Quite another text, which nobody has read before. " * 60, "utf-8")
    second = dense_of(model, text)
    assert not second.reused and second.perplexity != first.perplexity


def test_other_windows_other_weights_and_another_folder_are_measured(model, text, tmp_path):
    dense_of(model, text)
    assert not dense_of(model, text, samples=1).reused
    assert not dense_of(shutil.copytree(model, tmp_path / "elsewhere"), text).reused
    (model / "model.safetensors").touch()
    assert not dense_of(model, text).reused


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00 torn", b'{"kind": "queued"}'])
def test_a_corrupt_file_is_measured_again_and_replaced(model, text, content):
    first = dense_of(model, text)
    kept()[0].write_bytes(content)
    again = dense_of(model, text)
    assert not again.reused and again.perplexity == first.perplexity
    assert dense_of(model, text).reused


def test_a_cache_that_cannot_be_written_costs_no_result(model, text):
    cache_dir().mkdir(parents=True)
    (cache_dir() / "dense").write_text("a file where the folder should be")
    assert not dense_of(model, text).reused


def test_records_of_before_still_load():
    line = (
        '{"seq": 3, "at": 1.0, "event": {"kind": "evaluated", "side": "dense", "perplexity": 20.0, "windows": 8, '
        '"length": 512, "tokens": 4088, "text": "wikipedia", "protocol": "joined-v1", "seconds": 3.0}}'
    )
    assert parse_line(line).event.reused is False


def test_a_reused_perplexity_does_not_teach_how_fast_one_is_measured():
    events = some_events()
    seconds = events[-1].seconds | {"dense_eval": 1e-4, "pruned_eval": 3.0}
    events[-1] = events[-1].model_copy(update={"seconds": seconds})
    recipe = apt_core.plan("tiny-random-llama")

    def rate(reused):
        told = [evaluated("dense", 20.0).model_copy(update={"reused": reused}), *events[5:]]
        record = fold(RunRecord(id="r", job=recipe), stamped([*events[:4], *told]))
        return rates_from(record, FLOAT32_RATES).eval

    assert rate(True) == pytest.approx(3e4 * rate(False))
