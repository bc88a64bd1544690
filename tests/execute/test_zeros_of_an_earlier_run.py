"""Structures that go of a model whose single weights went before: what makes up for them fills no zeros."""

from __future__ import annotations

import pytest
import torch
from searches import record as searched
from searches import search
from test_shrink import plain, shrunk

import apt_core
from apt_core import families
from apt_core.base.errors import BadInput

TEXTS = {
    "calibration": {"text": "wiki-sample", "samples": 16, "length": 64},
    "evaluation": {"text": "wiki-sample", "samples": 4, "length": 64},
}


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """tiny-llama, half of its weights gone."""
    folder = tmp_path_factory.mktemp("sparse")
    list(
        apt_core.run(
            apt_core.plan("tiny-llama", "wanda", 0.5, device="cpu", dtype="float32", **TEXTS), folder
        )
    )
    return folder / "checkpoint"


def zeros_of(folder):
    """The share of zeros of each layer."""
    layers = families.all_layers(plain(folder).model.layers)
    return {(layer.block, layer.name): float((layer.matrix == 0).float().mean()) for layer in layers}


def test_what_is_left_of_output_projections_makes_up_with_the_weights_it_has(sparse, tmp_path):
    plainly, _ = shrunk(sparse, tmp_path / "a", "llm-pruner", 0.3, more=TEXTS)
    made_up, small = shrunk(sparse, tmp_path / "b", "llm-pruner", 0.3, more=TEXTS, compensate=True)
    assert made_up.pruned.perplexity < 0.95 * plainly.pruned.perplexity
    zeros, before = zeros_of(tmp_path / "b" / "checkpoint"), zeros_of(tmp_path / "a" / "checkpoint")
    assert zeros == before and min(zeros.values()) > 0.35
    other = plain(tmp_path / "a" / "checkpoint").model.layers[1].mlp.down_proj.weight
    moved = small.model.layers[1].mlp.down_proj.weight
    assert torch.equal(moved == 0, other == 0) and not torch.equal(moved, other)


def test_a_map_in_place_of_blocks_leaves_zeros_zero(sparse, tmp_path):
    record, small = shrunk(sparse, tmp_path, "depth", 0.25, more=TEXTS, criterion="reconstruction")
    (folded,) = record.shrunk.folded
    before, after = (families.all_layers(model.model.layers) for model in (plain(sparse), small))
    (before, after) = ([one for one in each if one.block == folded.block][-1] for each in (before, after))
    assert folded.left < 1 and not torch.equal(after.matrix, before.matrix)
    assert torch.equal(after.matrix == 0, before.matrix == 0)
    assert min(zeros_of(tmp_path / "checkpoint").values()) == pytest.approx(0.5, abs=0.01)


def test_a_search_says_that_it_would_fill_them_and_keeps_them_where_it_masks(sparse, tmp_path):
    with pytest.raises(BadInput, match="compensated candidates would fill them; choose judge=masked"):
        searched(search(sparse, {"judge": "compensated"}, keep=0.7), tmp_path / "a")
    found = searched(search(sparse, {"judge": "masked"}, keep=0.7, generations=1), tmp_path / "b")
    assert found.status == "finished"
    assert min(zeros_of(tmp_path / "b" / "checkpoint").values()) > 0.35
