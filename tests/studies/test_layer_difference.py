"""Two runs of one model, layer by layer."""

import pytest

from apt_core.studies.layer_difference import LayerDifference, layer_differences, same_layers
from tests.studies.compared_runs import FIRST, OTHER, measured_run, pruned_run


def test_the_errors_of_every_layer_side_by_side():
    first, other = pruned_run(FIRST), pruned_run(OTHER, layer_factor=2.0)
    found = layer_differences(first, other)
    assert len(found) == len(first.layers) == 6
    assert [one.first for one in found] == [layer.relative_error for layer in first.layers]
    assert all(one.ratio == pytest.approx(2) and one.difference == pytest.approx(one.first) for one in found)


def test_runs_that_are_alike_differ_by_exactly_nothing():
    found = layer_differences(pruned_run(FIRST), pruned_run(OTHER))
    assert all(one.difference == 0 and one.ratio == 1 for one in found)


def test_an_exact_zero_on_one_side_has_no_ratio():
    assert LayerDifference(0, "q", 0.0, 0.1).ratio is None
    assert LayerDifference(0, "q", 0.1, 0.0).ratio is None
    assert LayerDifference(0, "q", 0.0, 0.0).ratio == 1


def test_only_layers_that_both_pruned_are_compared():
    first, other = pruned_run(FIRST), pruned_run(OTHER)
    half = other.model_copy(update={"layers": other.layers[:2]})
    assert [(one.block, one.layer) for one in layer_differences(first, half)] == [
        (0, "self_attn.q_proj"),
        (0, "self_attn.k_proj"),
    ]


def test_runs_of_different_models_and_runs_without_layers_are_not_compared():
    first, other = pruned_run(FIRST), pruned_run(OTHER)
    deeper = other.model_copy(update={"model": other.model.model_copy(update={"blocks": 9})})
    assert not same_layers(first, deeper) and layer_differences(first, deeper) == ()
    assert not same_layers(first, measured_run(OTHER))
