"""What an allocation gives each layer before a run is what the same run is given, to the weight."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

import apt_core
from apt_core.base.errors import BadInput
from apt_core.base.paths import ASSETS
from apt_core.measure.inside.questions import AllocationQuestion
from apt_core.methods import COMPONENTS

TINY = "tiny-random-llama"
TEXT = {
    "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 64},
}
READS_TEXT = {"loss", "owl"}


def told(events):
    """(layer -> share, layer -> removed weights) of a run."""
    allocated = [event for event in events if event.kind == "allocated"]
    layers = [event for event in events if event.kind == "layer_pruned"]
    removed = {f"{one.block}:{one.layer}": one.removed for one in layers}
    return (allocated[0].shares if allocated else None), removed


def stored_weights(model):
    """Of the linear layers of all blocks, counted in the file itself."""
    with safe_open(Path(ASSETS) / "models" / model / "model.safetensors", "pt") as stored:
        shapes = {name: stored.get_slice(name).get_shape() for name in stored.keys()}  # noqa: SIM118
    return sum(
        shape[0] * shape[1] for name, shape in shapes.items() if ".layers." in name and len(shape) == 2
    )


@pytest.mark.parametrize("name", list(COMPONENTS["allocation"]))
@pytest.mark.parametrize("more", [{}, {"weights": "disk", "seed": 3}], ids=["memory", "disk, drawn"])
def test_it_is_what_the_run_is_given(name, more):
    found = apt_core.allocation(TINY, name, 0.7, **TEXT, **more)
    job = apt_core.plan(TINY, "wanda", 0.7, {"allocation": name}, **TEXT, **more)
    shares, removed = told(list(apt_core.run(job)))
    assert {one.name: one.removed for one in found.layers} == removed
    if name == "uniform":
        assert shares is None and {one.sparsity for one in found.layers} == {0.7}
    else:
        assert {one.name: one.sparsity for one in found.layers} == shares
    assert found.removed == pytest.approx(0.7 * stored_weights(TINY), abs=0.5 if shares else 7)
    assert found.weights == stored_weights(TINY) and found.title == "Tiny random Llama"


def test_options_a_named_method_and_a_mixed_pattern_count():
    peak = apt_core.allocation(TINY, {"name": "alphapruning", "metric": "peak", "by": "matrix"}, 0.7)
    middle = apt_core.allocation(TINY, {"name": "alphapruning", "metric": "mid", "by": "matrix"}, 0.7)
    assert peak.layers != middle.layers and peak.removed == middle.removed
    job = apt_core.plan(TINY, "apt-joint", "2:4 mixed", **TEXT)
    shares, removed = told(list(apt_core.run(job)))
    found = apt_core.allocation(TINY, job.method.allocation.model_dump(), "2:4 mixed", **TEXT)
    assert {one.name: one.sparsity for one in found.layers} == shares
    assert {one.sparsity for one in found.layers} <= {0.25, 0.5, 0.75} and len(set(shares.values())) > 1
    assert {one.name: one.removed for one in found.layers} == removed


def test_the_loss_is_that_of_a_method_whose_target_asks_for_gradients_too():
    """What is kept of the gradients for the target changes no cost."""
    job = apt_core.plan(TINY, "apt-joint", 0.5, **TEXT)
    assert job.method.target.name == "dense-model" and job.method.allocation.name == "loss"
    shares, _ = told(list(apt_core.run(job)))
    found = apt_core.allocation(TINY, job.method.allocation.model_dump(), 0.5, **TEXT)
    assert {one.name: one.sparsity for one in found.layers} == shares


@pytest.mark.parametrize("name", sorted(set(COMPONENTS["allocation"]) - READS_TEXT))
def test_what_needs_no_text_reads_none(name, monkeypatch):
    def read(*_):
        raise AssertionError("a text was read")

    monkeypatch.setattr("apt_core.execute.opening.read", read)
    assert apt_core.allocation(TINY, name, 0.7).weights == stored_weights(TINY)


def test_questions_are_equal_where_the_allocation_is():
    """Another method, evaluation or text that is not read asks nothing else; another that is read does."""

    def asked(name, method="wanda", **more):
        return AllocationQuestion.of(apt_core.plan(TINY, method, 0.7, {"allocation": name}, **TEXT | more))

    other = {"calibration": {"text": "wiki-sample", "samples": 8, "length": 64}}
    for name in COMPONENTS["allocation"]:
        assert asked(name) == asked(name, "apt", evaluation={"text": "wiki-sample", "samples": 9})
        assert hash(asked(name)) == hash(asked(name, "apt"))
        assert (asked(name, **other) == asked(name)) == (name not in READS_TEXT)
        assert (asked(name, seed=1) == asked(name)) == (name not in READS_TEXT)
        assert asked(name).reads_text == (name in READS_TEXT)
        again = AllocationQuestion.model_validate_json(asked(name).model_dump_json())
        assert again == asked(name)
    assert asked("atp") != asked({"name": "atp", "rise": 0.3})


def test_a_pattern_that_does_not_fit_and_layers_that_are_not_there_are_sentences():
    with pytest.raises(BadInput, match="input widths divisible by 3"):
        apt_core.allocation(TINY, "loss", "1:3 mixed", **TEXT)
    with pytest.raises(BadInput, match="no layer 9:q"):
        apt_core.allocation(TINY, {"name": "by-hand", "held": "9:q=0.5"}, 0.5)
