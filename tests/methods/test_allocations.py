"""Allocations: exact budgets, the published formulas, and a run with each of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import apt_core
from apt_core.base.errors import BadOption
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods import make_method
from apt_core.methods.component import DenseModel, SeenLayer

HALF = Unstructured(sparsity=0.5)
SIZES = {(block, name): size for block in range(4) for name, size in (("q", 400), ("mlp", 1600))}


def allocation(name, **options):
    return make_method("wanda", {"allocation": {"name": name, **options}}).allocation


def removed(shares):
    return sum(round(share * SIZES[key]) for key, share in shares.items())


def by_block(values):
    return {key: values[key[0]] for key in SIZES}


def test_owl_is_the_published_line_over_outlier_shares():
    outliers = [0.010, 0.002, 0.004, 0.001]
    shares = allocation("owl", deviation=0.08).shares(DenseModel(SIZES, scores=by_block(outliers)), HALF)
    density = 2 * 0.08 * (np.array(outliers) - min(outliers)) / (max(outliers) - min(outliers))
    expected = 1 - (
        density + 0.5 - density.mean()
    )  # blocks of one size: their plain mean is the weighted one
    for (block, _), share in shares.items():
        assert share == pytest.approx(expected[block], abs=2e-3)
    assert removed(shares) == 4000 and shares[0, "q"] < shares[3, "q"], "more outliers keep more"


def test_alphapruning_is_the_published_line_over_exponents():
    alphas = [2.0, 3.0, 5.0, 4.0]
    shares = allocation("alphapruning", deviation=0.3).shares(
        DenseModel(SIZES, scores=by_block(alphas)), HALF
    )
    phi = 0.7 + 0.6 * (np.array(alphas) - 2) / 3
    for (block, _), share in shares.items():
        assert share == pytest.approx(0.5 * phi[block] / phi.mean(), abs=2e-3)
    assert removed(shares) == 4000 and shares[2, "q"] == max(shares.values())


@pytest.mark.parametrize("rise", [0.2, -0.3])
def test_atp_is_a_line_over_depth(rise):
    shares = allocation("atp", rise=rise).shares(DenseModel(SIZES), HALF)
    for (block, _), share in shares.items():
        assert share == pytest.approx(0.5 + rise * (block / 3 - 0.5), abs=2e-3)
    assert removed(shares) == 4000


@pytest.mark.parametrize("sparsity", [0.6, 0.9, 0.97])
@pytest.mark.parametrize("name", ["owl", "alphapruning", "atp"])
def test_no_layer_loses_more_than_it_has(name, sparsity):
    scores = by_block([0.1, 5.0, 0.2, 9.0])
    shares = allocation(name).shares(DenseModel(SIZES, scores=scores), Unstructured(sparsity=sparsity))
    assert all(0 <= share <= max(0.99, sparsity) + 1e-3 for share in shares.values())
    assert removed(shares) == round(sparsity * sum(SIZES.values()))


@pytest.mark.parametrize(
    ("name", "none"), [("owl", "deviation"), ("alphapruning", "deviation"), ("atp", "rise")]
)
def test_where_there_is_nothing_to_decide_layers_are_alike(name, none):
    two_four = SemiStructured(keep=2, of=4)
    assert not allocation(name).varies(two_four)
    assert allocation(name).shares(DenseModel(SIZES, scores=by_block([1.0, 2, 3, 4])), two_four) is None
    assert not allocation(name, **{none: 0.0}).needs and not allocation(name, **{none: 0.0}).varies(HALF)
    if name != "atp":
        assert allocation(name).shares(DenseModel(SIZES, scores=by_block([2.0] * 4)), HALF) is None


def test_alphapruning_takes_the_mean_of_a_block_or_each_matrix():
    torch.manual_seed(0)
    block = {"q": SeenLayer(torch.randn(20, 20)), "mlp": SeenLayer(torch.randn(20, 80))}
    each = allocation("alphapruning", by="matrix").scores(block)
    mean = allocation("alphapruning").scores(block)
    assert each["q"] != each["mlp"]
    assert mean["q"] == mean["mlp"] == pytest.approx((each["q"] + each["mlp"]) / 2)


@pytest.mark.parametrize("by", ["block", "matrix"])
def test_a_matrix_without_a_spectrum_loses_as_much_as_the_most_prunable(by):
    """Zeros have no exponent; they are no reason to spend the budget elsewhere, or to have none."""
    torch.manual_seed(0)
    asked = allocation("alphapruning", by=by)
    scores = {}
    for block in range(4):
        q = torch.zeros(20, 20) if block == 2 else torch.randn(20, 20)
        found = asked.scores({"q": SeenLayer(q), "mlp": SeenLayer(torch.randn(20, 80))})
        scores |= {(block, name): score for name, score in found.items()}
    shares = asked.shares(DenseModel(SIZES, scores=scores), HALF)
    assert removed(shares) == 2000 * 4 // 2
    if by == "matrix":
        assert shares[2, "q"] == max(shares.values()) > min(shares.values())
    else:
        assert scores[2, "q"] == scores[2, "mlp"] < 100, "the mean of a block is that of its other matrices"
        assert shares[2, "q"] == pytest.approx(shares[2, "mlp"], abs=2e-3)


def test_where_no_matrix_has_a_spectrum_layers_are_alike():
    scores = dict.fromkeys(SIZES, float("inf"))
    assert allocation("alphapruning").shares(DenseModel(SIZES, scores=scores), HALF) is None
    whole = scores | {(0, "q"): 2.0, (0, "mlp"): 3.0}
    shares = allocation("alphapruning").shares(DenseModel(SIZES, scores=whole), HALF)
    assert removed(shares) == 4000 and shares[0, "q"] == min(shares.values())


def test_by_hand_follows_the_points_and_keeps_the_total():
    shares = allocation("by-hand", points="0.2, 0.8").shares(DenseModel(SIZES), HALF)
    for (block, _), share in shares.items():
        assert share == pytest.approx(0.2 + 0.6 * block / 3, abs=2e-3)
    bent = allocation("by-hand", points=[0.1, 0.9, 0.1]).shares(DenseModel(SIZES), HALF)
    middle = 0.1 + 0.8 * 2 / 3  # blocks 1 and 2 lie a third of the way from the point in the middle
    offset = 0.5 - (0.1 + 0.1 + middle + middle) / 4
    assert bent[1, "q"] == bent[2, "q"] == pytest.approx(middle + offset, abs=2e-3)
    assert removed(shares) == removed(bent) == 4000
    assert not allocation("by-hand", points="0.5").varies(HALF)


def test_by_hand_begins_where_a_run_was_and_holds_single_layers():
    """What is held is exactly that; the others keep their distances and make up for it."""
    given = {(block, name): 0.35 + 0.1 * block for block, name in SIZES}
    start = {f"{block}:{name}": share for (block, name), share in given.items()}
    same = allocation("by-hand", start=start).shares(DenseModel(SIZES), HALF)
    assert same == pytest.approx(given, abs=2e-3) and removed(same) == 4000
    held = allocation("by-hand", start=start, held="3:mlp=0.2; 0:q = 0.9").shares(DenseModel(SIZES), HALF)
    assert held[3, "mlp"] == pytest.approx(0.2) and held[0, "q"] == pytest.approx(0.9)
    assert removed(held) == 4000
    assert held[2, "mlp"] - held[1, "mlp"] == pytest.approx(0.1, abs=2e-3) and held[1, "mlp"] > same[1, "mlp"]
    some = allocation("by-hand", points="0.2, 0.8", start="0:q=0.9").shares(DenseModel(SIZES), HALF)
    assert some[0, "q"] - some[0, "mlp"] == pytest.approx(0.7, abs=2e-3), "what is not named is on the line"


def test_layers_that_are_held_do_not_bend_the_line_of_the_others():
    """With the last block held where it was, the points were stretched over one block less."""
    line = allocation("by-hand", points="0.2, 0.8").shares(DenseModel(SIZES), HALF)
    same = ", ".join(f"3:{name}={line[3, name]}" for block, name in SIZES if block == 3)
    held = allocation("by-hand", points="0.2, 0.8", held=same).shares(DenseModel(SIZES), HALF)
    assert held == pytest.approx(line, abs=2e-3)


def test_a_start_of_another_model_is_one_sentence():
    """It gave the plain line, under a label that said where it had begun."""
    for start in ("7:q=0.5", "0:q=0.4, 0:self_attn.q_proj=0.5"):
        with pytest.raises(BadOption, match=r"no layer .* to start with; start as a run of the same model"):
            allocation("by-hand", start=start).shares(DenseModel(SIZES), HALF)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("7:q=0.5", "no layer 7:q"),
        (", ".join(f"{block}:mlp=0.9" for block in range(4)), "hold fewer"),
        (", ".join(f"{block}:{name}=0.4" for block, name in SIZES), "hold fewer"),
    ],
)
def test_layers_that_cannot_be_held_are_one_sentence(held, said):
    with pytest.raises(BadOption, match=said):
        allocation("by-hand", held=held).shares(DenseModel(SIZES), HALF)


@pytest.mark.parametrize("text", ["q=0.5", "0:q", "0:q=1.5", "0:q=-0.1", "0:q=x", "0.5"])
@pytest.mark.parametrize("option", ["start", "held"])
def test_what_names_no_layer_is_one_sentence(option, text):
    with pytest.raises(BadOption, match=r"sparsities between 0 and 1, such as 3:mlp\.down_proj=0\.3"):
        allocation("by-hand", **{option: text})


def test_a_long_start_is_cut_in_labels():
    start = ", ".join(f"{block}:mlp.down_proj=0.5" for block in range(40))
    method = make_method("wanda", {"allocation": {"name": "by-hand", "start": start}})
    assert len(method.label) < 150 and method.label.endswith("…)")


@pytest.mark.parametrize("points", ["", "half", "0.5, 1.5", "-0.1, 0.5", "nan", ", ".join(["0.5"] * 300)])
def test_points_that_are_no_sparsities_are_one_sentence(points):
    with pytest.raises(BadOption, match="sparsities between 0 and 1"):
        allocation("by-hand", points=points)


TEXT = {
    "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 64},
}


@pytest.mark.parametrize("name", ["owl", "alphapruning", "atp", "by-hand"])
@pytest.mark.parametrize("weights", ["auto", "disk"])
def test_a_run_spends_the_budget_and_says_what_each_layer_got(name, weights):
    job = apt_core.plan(
        "tiny-random-llama", "wanda", "0.6", {"allocation": {"name": name}}, weights=weights, **TEXT
    )
    events = list(apt_core.run(job))
    (allocated,) = [event for event in events if event.kind == "allocated"]
    layers = [event for event in events if event.kind == "layer_pruned"]
    assert len(set(allocated.shares.values())) > 1
    assert events[-1].sparsity == pytest.approx(0.6, abs=5e-4)
    for layer in layers:
        assert layer.sparsity == pytest.approx(allocated.shares[f"{layer.block}:{layer.layer}"], abs=0.02)


def test_owl_looks_at_the_dense_inputs(monkeypatch):
    """Its outlier shares are those of the dense model's own inputs, taken by hooks of ours."""
    from apt_core.methods.allocations.owl import Owl

    seen = []
    real = Owl.scores
    monkeypatch.setattr(Owl, "scores", lambda self, block: seen.append(block) or real(self, block))
    job = apt_core.plan(
        "tiny-random-llama", "wanda", "0.6", {"allocation": {"name": "owl"}}, dtype="float32", **TEXT
    )
    list(apt_core.run(job))
    model, tokenizer = apt_core.load_model("tiny-random-llama", dtype="float32")
    from apt_core.texts.sources import load_text
    from apt_core.texts.windows import token_windows

    windows = token_windows(tokenizer, load_text("wiki-sample", "calibration"), 64, 4)
    layer = model.model.layers[1].mlp.down_proj
    caught = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        model(windows)
    handle.remove()
    energies = caught[0].reshape(-1, caught[0].shape[-1]).square().sum(0)
    assert torch.allclose(seen[1]["mlp.down_proj"].energies, energies, rtol=1e-3)


def test_an_unknown_choice_is_one_sentence():
    with pytest.raises(BadOption, match="metric"):
        allocation("alphapruning", metric="middle")
