"""Single layers held before a run: the others make up for them to the weight, whatever the allocation began with."""

from __future__ import annotations

import pytest

import apt_core
from apt_core.base.errors import BadInput
from apt_core.measure.holding import held
from apt_core.measure.layer_shares import LayerShare, LayerShares
from apt_core.methods.allocations.by_hand import ByHand
from apt_core.methods.component import DenseModel

SIZES = {(block, name): size for block in range(4) for name, size in (("q", 400), ("mlp", 1600))}


def shares_of(sparsities):
    layers = tuple(
        LayerShare(block=block, layer=name, weights=size, sparsity=sparsities[block, name])
        for (block, name), size in SIZES.items()
    )
    return LayerShares(title="A model", allocation="AlphaPruning", pattern="50%", layers=layers)


FOUND = shares_of({key: 0.35 + 0.1 * key[0] for key in SIZES})


def plan(pattern=0.5, **options):
    allocation = {"name": "uniform"} if pattern == "2:4" else {"name": "atp", **options}
    return apt_core.plan("tiny-random-llama", "wanda", pattern, {"allocation": allocation})


def given(found):
    return {one.name: one.sparsity for one in found.layers}


def test_a_layer_is_held_and_the_whole_loses_as_much():
    job, found = held(plan(), FOUND, {"3:mlp": 0.2})
    assert job.method.allocation.held == "3:mlp=0.2" and isinstance(job.method.allocation, ByHand)
    assert found.removed == FOUND.removed == 4000 and given(found)["3:mlp"] == 0.2
    moved = [given(found)[name] - given(FOUND)[name] for name in given(FOUND) if name != "3:mlp"]
    assert min(moved) > 0 and max(moved) - min(moved) < 3e-3, "the others keep their distances"
    assert (found.allocation, found.pattern) == ("By hand", "50%")


def test_more_layers_are_held_one_is_let_go_and_all_are():
    job, _ = held(plan(), FOUND, {"3:mlp": 0.2})
    job, found = held(job, FOUND, {"0:q": 0.9})
    assert given(found)["0:q"] == 0.9 and given(found)["3:mlp"] == 0.2 and found.removed == 4000
    job, found = held(job, FOUND, {"3:mlp": None})
    assert job.method.allocation.held_layers == {(0, "q")} and given(found)["3:mlp"] > 0.6
    job, found = held(job, FOUND, {"0:q": None})
    assert given(found) == pytest.approx(given(FOUND), abs=2e-3) and found.removed == 4000


def test_it_goes_on_at_another_sparsity():
    job, _ = held(plan(), FOUND, {"3:mlp": 0.2})
    _, found = held(job.changed(pattern={"kind": "unstructured", "sparsity": 0.7}), FOUND, {})
    assert found.removed == 5600 and given(found)["3:mlp"] == 0.2


def test_what_is_left_for_the_others_is_clipped_and_spread():
    _, found = held(plan(0.9), FOUND, {"0:mlp": 0.6})
    assert found.removed == round(0.9 * 8000) and max(given(found).values()) <= 0.99 + 1e-3
    assert given(found)["0:mlp"] == 0.6


@pytest.mark.parametrize(
    ("pattern", "changes", "said"),
    [
        ("2:4", {"0:q": 0.3}, "An N:M pattern fixes"),
        (0.9, {"0:mlp": 0.1, "1:mlp": 0.1}, "hold fewer"),
        (0.5, {"9:q": 0.3}, "no layer 9:q"),
        (0.5, {"<b>": 0.3}, "such as 3:mlp.down_proj=0.3"),
        (0.5, {"0:q": 1.2}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_held_is_one_sentence(pattern, changes, said):
    with pytest.raises(BadInput, match=said):
        held(plan(pattern), FOUND, changes)


def test_mixed_patterns_round_to_whole_groups():
    _, found = held(plan("2:4 mixed"), FOUND, {"0:mlp": 0.25})
    assert given(found)["0:mlp"] == 0.25 and set(given(found).values()) <= {0.25, 0.5, 0.75}
    assert 4000 <= found.removed < 4000 + 1600 / 4


def test_a_model_of_one_block_and_a_last_block_that_is_held():
    one = LayerShares(
        title="One block",
        allocation="Uniform",
        pattern="50%",
        layers=tuple(layer for layer in FOUND.layers if layer.block == 0),
    )
    _, found = held(plan(), one, {"0:q": 0.3})
    assert found.removed == 1000 and given(found)["0:q"] == 0.3
    begun = {"name": "by-hand", "points": "0.2, 0.8"}
    job = apt_core.plan("tiny-random-llama", "wanda", 0.5, {"allocation": begun})
    _, free = held(job, FOUND, {})
    _, found = held(job, FOUND, {"3:q": 0.8, "3:mlp": 0.8})
    assert given(found) == pytest.approx(given(free), abs=3e-3), "the line over the others is as it was"


def test_as_json_says_counts_and_where_to_begin():
    said = FOUND.as_json()
    assert said["removed"] == sum(layer["removed"] for layer in said["layers"]) == 4000
    assert said["start"].startswith("0:q=0.35, 0:mlp=0.35, 1:q=0.45") and said["sparsity"] == 0.5
    begun = ByHand(start=said["start"]).shares(DenseModel(SIZES), apt_core.plan("x/y", "wanda", 0.5).pattern)
    assert begun == pytest.approx({(one.block, one.layer): one.sparsity for one in FOUND.layers}, abs=1e-3)
