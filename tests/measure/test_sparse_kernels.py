"""Which layers torch.sparse's 2:4 kernels take; the kernels themselves need a GPU and are stood in for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from apt_core.measure import sparse_kernels
from apt_core.measure.sparse_kernels import is_two_of_four, sparse_weights, taken


def a_layer(out: int = 8, width: int = 16, two_of_four: bool = True) -> nn.Linear:
    layer = nn.Linear(width, out, bias=False)
    if two_of_four:
        with torch.no_grad():
            layer.weight.view(-1, 4)[:, 1:3] = 0
    return layer


@pytest.fixture
def kernels(monkeypatch):
    """Stand-ins that multiply plainly and refuse rows of another number than a multiple of 8; returns what they got."""
    got = []

    def compress(weight):
        if weight.shape[0] % 8:
            raise RuntimeError("shape must be divisible\n by 8")
        got.append(weight)
        return weight.clone() * 2  # so that a test sees that it is used

    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", compress)
    return got


def test_two_of_four_is_counted_in_groups_of_neighbours():
    row = torch.tensor([[1.0, 0, 2, 0, 0, 0, 0, 3]])
    assert is_two_of_four(row) and is_two_of_four(torch.zeros(2, 8))
    assert not is_two_of_four(torch.tensor([[1.0, 0, 2, 3, 0, 0, 0, 0]]))
    assert not is_two_of_four(torch.zeros(2, 6)), "no groups of four"


def test_layers_are_taken_where_they_are_two_of_four_and_their_shape_fits(kernels):
    fits, dense, odd = a_layer(), a_layer(two_of_four=False), a_layer(out=12)
    assert taken([fits, dense, odd]) == ([fits], "shape must be divisible by 8")
    assert taken([fits, fits]) == ([fits, fits], "")
    assert taken([dense]) == ([], "no layer of the model is 2:4") and taken([]).layers == []


def test_inside_the_weights_are_the_compressed_ones_and_afterwards_what_they_were(kernels):
    layers = [a_layer(), a_layer()]
    before = [layer.weight for layer in layers]
    inputs = torch.ones(3, 16)
    plain = layers[0](inputs)
    with sparse_weights(layers):
        assert torch.equal(layers[0](inputs), 2 * plain)
    assert all(layer.weight is weight for layer, weight in zip(layers, before, strict=True))
    with pytest.raises(RuntimeError, match="divisible"), sparse_weights([layers[0], a_layer(out=12)]):
        pass
    assert layers[0].weight is before[0]


def test_a_cpu_is_refused_in_torchs_own_words():
    layer = a_layer(64, 64).to(torch.bfloat16)
    weight = layer.weight
    found = taken([layer])
    assert found.layers == [] and found.why and "\n" not in found.why and layer.weight is weight
    assert sparse_kernels.is_two_of_four(layer.weight)
