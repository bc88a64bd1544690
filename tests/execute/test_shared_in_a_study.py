"""What runs of one study keep for one another changes no result, by a single bit."""

from __future__ import annotations

import functools
import shutil

import pytest

import apt_core
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE
from apt_core.execute import Context, run
from apt_core.measure import kept_sensitivity, kept_states

TEXT = {
    "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
    "evaluation": {"text": str(ASSETS / "texts" / "wiki-sample.txt"), "samples": 2, "length": 64},  # a file's
}


def job(method="apt-joint", pattern="0.5", model="tiny-random-llama", **options):
    return apt_core.plan(model, method, pattern, options or None, **TEXT)


def pruned(wanted, folder, shared=None):
    """(the bytes of the pruned weights, the last event)"""
    folder.mkdir()
    *_, last = run(wanted, Context.of(wanted, folder, PRIVATE, shared=shared))
    files = sorted((folder / "checkpoint").glob("*.safetensors"))
    return [file.read_bytes() for file in files], last


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """(the bytes of the weights that the first run of a study has pruned, the folder in which it has kept things)"""
    place = tmp_path_factory.mktemp("study")
    weights, _ = pruned(job(), place / "first", place / "shared")
    return weights, place / "shared"


@pytest.fixture
def shared(first, tmp_path):
    """A copy of what the first run has kept, which a test may damage."""
    return shutil.copytree(first[1], tmp_path / "shared")


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("apt-joint", {}),
        ("sparsegpt", {"allocation": "loss"}),
        pytest.param("alps", {"allocation": "loss"}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("model", ["tiny-random-llama", pytest.param("tiny-llama", marks=pytest.mark.slow)])
def test_weights_are_the_same_without_and_with_what_another_run_kept(tmp_path, model, method, options):
    wanted = job(method, model=model, **options)
    alone, _ = pruned(wanted, tmp_path / "alone")
    shared = tmp_path / "shared"
    first, measured = pruned(wanted, tmp_path / "first", shared)
    second, reused = pruned(wanted, tmp_path / "second", shared)
    assert alone == first == second
    assert measured.seconds["gradients"] > 0 and "gradients" not in measured.spared
    assert "gradients" not in reused.seconds
    assert reused.spared["gradients"] == pytest.approx(measured.seconds["gradients"], abs=0.01)


def test_weights_that_wait_on_disk_are_the_same_too(tmp_path):
    wanted = apt_core.plan("tiny-random-llama", "apt-joint", "0.5", weights="disk", **TEXT)
    alone, _ = pruned(wanted, tmp_path / "alone")
    first, _ = pruned(wanted, tmp_path / "first", tmp_path / "shared")
    second, reused = pruned(wanted, tmp_path / "second", tmp_path / "shared")
    assert alone == first == second and reused.spared["gradients"] > 0


@pytest.mark.parametrize(
    "other",
    [
        job(pattern="0.3").model_copy(update={"seed": 1}),
        job(target={"name": "dense-model", "sensitivity": 0.25}),
        job(model="tiny-llama"),
    ],
    ids=["other windows", "another target", "another model"],
)
def test_what_differs_is_measured_anew(tmp_path, shared, other):
    _, last = pruned(other, tmp_path / "second", shared)
    assert last.seconds["gradients"] > 0 and "gradients" not in last.spared


def test_how_much_goes_makes_no_difference(tmp_path, shared):
    assert pruned(job(pattern="2:4"), tmp_path / "second", shared)[1].spared["gradients"] > 0


def test_a_torn_file_is_measured_again(tmp_path, first, shared):
    (said,) = shared.glob("*/said.json")
    said.write_text('{"seconds"')
    (states,) = shared.glob("*.states")
    states.write_bytes(states.read_bytes()[:50])
    again, last = pruned(job(), tmp_path / "again", shared)
    assert again == first[0] and "gradients" not in last.spared


def test_a_full_disk_costs_no_result(tmp_path, first, monkeypatch):
    def full(*_args, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_sensitivity, "save_file", full)
    monkeypatch.setattr(kept_states, "save_file", full)
    assert pruned(job(), tmp_path / "second", tmp_path / "shared")[0] == first[0]
    assert not list((tmp_path / "shared").iterdir())


def test_no_more_is_kept_than_there_is_room_for(tmp_path, monkeypatch):
    little = functools.partial(kept_sensitivity.KeptSensitivity, most=1000)
    monkeypatch.setattr("apt_core.execute.prune.KeptSensitivity", little)
    little_states = functools.partial(kept_states.KeptStates, most=1000)
    monkeypatch.setattr("apt_core.execute.measuring.KeptStates", little_states)
    pruned(job(), tmp_path / "first", tmp_path / "shared")
    assert not (tmp_path / "shared").exists()


def test_the_dense_model_goes_through_its_windows_once(tmp_path, shared, fresh_cache, monkeypatch):
    """Also where the dense perplexity is known: KL and agreement are the same, from states that were kept."""
    folder = tmp_path / "alone"
    folder.mkdir()
    alone = [event for event in run(job(), Context.of(job(), folder, PRIVATE)) if event.kind == "diverged"]
    monkeypatch.setattr("apt_core.execute.measuring.fill_states", lambda *_: 1 / 0)
    (tmp_path / "second").mkdir()
    again = list(run(job(), Context.of(job(), tmp_path / "second", PRIVATE, shared=shared)))
    assert [event for event in again if event.kind == "diverged"] == alone and len(alone) == 1
    with pytest.raises(ZeroDivisionError):
        pruned(job(), tmp_path / "third", tmp_path / "another")
