"""Layers whose statistics come from too few tokens: seen in any layer, said once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import apt_core
from apt_core import families
from apt_core.passes.coverage import CalibrationCoverage, under_covered

sys.path.insert(0, str(Path(__file__).parents[1] / "families"))
import tiny_families


@pytest.fixture(scope="module")
def layers():
    return families.all_layers(families.decoder_blocks(tiny_families.model("llama")))


def said(layers, tokens, blocks=(0, 1)):
    """tokens: of each layer, by its name."""
    coverage, found = CalibrationCoverage(layers), []
    for index in blocks:
        for layer in layers:
            if layer.block == index:
                coverage.add(layer, tokens(layer))
        found += coverage.warnings(index)
    return [warned.message for warned in found]


def test_the_border_is_two_tokens_per_input(layers):
    narrow = next(layer for layer in layers if layer.name == "self_attn.q_proj")
    assert under_covered(narrow, 63) and not under_covered(narrow, 64)


def test_enough_tokens_are_not_spoken_of(layers):
    assert said(layers, lambda layer: 96) == []


def test_a_text_that_is_too_short_for_every_layer_is_said_once(layers):
    (message,) = said(layers, lambda layer: 40)
    assert message.startswith(
        "40 calibration tokens are few for 7 layers of every block, mlp.down_proj the widest"
    )
    assert "(48 inputs)" in message and "use more calibration samples" in message


def test_a_text_that_is_too_short_for_one_width_names_its_layer(layers):
    (message,) = said(layers, lambda layer: 70)
    assert message.startswith("70 calibration tokens are few for mlp.down_proj (48 inputs)")


def test_a_kind_that_is_met_later_is_said_then(layers):
    """As in a hybrid, whose first attention comes after several blocks of another kind."""

    def tokens(layer):
        short = "up" in layer.name or ("gate" in layer.name and layer.block == 1)
        return 40 if short else 96

    first, second = said(layers, tokens)
    assert "mlp.up_proj" in first and "mlp.gate_proj" in second and "mlp.up_proj" not in second


def test_every_layer_of_a_short_run_is_marked(tmp_path):
    few = {"text": "wiki-sample", "samples": 2, "length": 64}
    recipe = apt_core.plan("tiny-random-llama", "apt", "2:4", calibration=few, evaluation=few)
    events = list(apt_core.run(recipe, tmp_path))
    marked = {
        (event.block, event.layer) for event in events if event.kind == "layer_pruned" and event.few_tokens
    }
    assert marked == {(block, "mlp.down_proj") for block in (0, 1)}
    messages = [event.message for event in events if event.kind == "warned"]
    assert sum("calibration tokens are few" in message for message in messages) == 1
