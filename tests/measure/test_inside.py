"""Inside a layer: counts against brute force, the closed form against least squares, figures against a run's own."""

from __future__ import annotations

import pytest
import tiny_families
import torch
from transformers import AutoModelForCausalLM

from apt_core import families
from apt_core.base.errors import BadInput
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.families import family_of_type
from apt_core.families.heads import HeadsOf, heads_of
from apt_core.maths.compensate import full_compensation
from apt_core.maths.hessian import LayerStats, dampened
from apt_core.measure.inside.change import change
from apt_core.measure.inside.inputs import input_statistics, inputs_of
from apt_core.measure.inside.losers import heads, neurons
from apt_core.measure.inside.tiles import groups_of, histogram, kept_counts, tile
from apt_core.measure.inside.words import saliency_sentence, worked_lines, worked_note
from apt_core.measure.inside.worked import worked
from apt_core.models.checkpoint.packed import pack_folder
from apt_core.models.load.layer_weight import read_layer
from apt_core.models.load.weight_store import MemoryStore

HALF = Unstructured(sparsity=0.5)


def seeded(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def drained(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


# --- counting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 64), (65, 130), (200, 33)])
def test_a_tile_counts_every_weight_once(shape):
    flags = seeded(*shape) > 0.3
    found = tile(flags)
    assert len(found.shares) <= 64 and len(found.shares[0]) <= 64
    for top, row in enumerate(found.shares):
        for left, share in enumerate(row):
            cell = flags[
                top * found.rows_each : (top + 1) * found.rows_each,
                left * found.columns_each : (left + 1) * found.columns_each,
            ]
            assert share == pytest.approx(float(cell.float().mean()), abs=1e-4)
    assert len(found.shares) * found.rows_each >= shape[0] > (len(found.shares) - 1) * found.rows_each


def test_cells_never_cut_a_group():
    assert tile(torch.ones(4, 520, dtype=torch.bool), multiple=8).columns_each % 8 == 0


@pytest.mark.parametrize("dim", [0, 1])
def test_kept_weights_are_counted_along_rows_and_columns(dim):
    pruned = seeded(20, 90) > 0
    pruned[:, 3] = True
    pruned[4] = True
    kept = [int((~line).sum()) for line in (pruned.T if dim == 0 else pruned)]
    found = kept_counts(pruned, dim)
    assert (found.least, found.most, found.empty) == (min(kept), max(kept), 1)
    assert found.mean == pytest.approx(sum(kept) / len(kept))
    assert sum(found.histogram.counts) == len(kept) and len(found.histogram.counts) <= 32
    for low, high, count in zip(
        found.histogram.edges[:-1], found.histogram.edges[1:], found.histogram.counts, strict=True
    ):
        assert count == sum(low < value < high for value in kept)  # edges lie between whole numbers


def test_a_histogram_of_one_value_is_one_bar():
    assert histogram(torch.full((7,), 2.5)).counts == (7,)


def test_groups_that_hold_too_many_weights_are_found():
    pruned = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    found = groups_of(pruned, SemiStructured(keep=2, of=4))
    assert (found.groups, found.violating) == (3, 1)
    assert found.map.shares == ((0.0,), (1.0,), (0.0,))


def test_the_change_counts_every_kept_weight_and_how_far_it_went():
    dense = seeded(30, 40)
    pruned = seeded(30, 40, seed=1) > 0
    stored = (dense + 0.1 * (seeded(30, 40, seed=2) > 0)).masked_fill(pruned, 0)
    found = change(dense, stored, pruned, torch.float32)
    steps = (stored - dense)[~pruned]
    assert found.kept == sum(map(sum, found.grid)) == int((~pruned).sum())
    assert found.moved == int((steps != 0).sum()) > 0
    assert found.moved_by == pytest.approx(float(steps.square().mean().sqrt()), rel=1e-5)
    assert found.signs_flipped == int(((dense * stored)[~pruned] < 0).sum()) > 0
    same = change(dense, dense.masked_fill(pruned, 0), pruned, torch.float32)
    assert same.moved == 0 and all(row[i] == sum(row) for i, row in enumerate(same.grid))


def test_rounding_to_the_stored_type_is_no_move():
    dense = seeded(8, 8)
    assert (
        change(dense, dense.bfloat16().float(), torch.zeros(8, 8, dtype=torch.bool), torch.bfloat16).moved
        == 0
    )


# --- who lost ------------------------------------------------------------------------------------


def test_rows_and_heads_by_what_their_outputs_lost():
    dense, inputs = seeded(12, 6), seeded(50, 6, seed=3)
    stored = dense.clone()
    stored[7] = 0
    stored[2, :3] = 0
    pruned, gram = stored == 0, inputs.T @ inputs
    found = neurons(dense, stored, pruned, gram)
    expected = ((inputs @ (stored - dense).T).square().sum(0) / (inputs @ dense.T).square().sum(0)).tolist()
    assert [one.index for one in found.worst[:2]] == [7, 2] and found.by_output
    assert [one.lost for one in found.worst] == pytest.approx(sorted(expected, reverse=True)[:10], abs=1e-5)
    by_head = heads(dense, stored, pruned, gram, HeadsOf("rows", 3, 4))
    lost = (inputs @ (stored - dense).T).square().reshape(50, 3, 4).sum((0, 2))
    whole = (inputs @ dense.T).square().reshape(50, 3, 4).sum((0, 2))
    assert {one.index: one.lost for one in by_head.worst} == pytest.approx(
        dict(enumerate((lost / whole).tolist())), abs=1e-5
    )
    by_column = heads(dense, stored, pruned, gram, HeadsOf("columns", 2, 3))
    own = inputs.clone()
    own[:, 3:] = 0
    first = (own @ (stored - dense).T).square().sum() / (own @ dense.T).square().sum()
    assert next(one.lost for one in by_column.worst if one.index == 0) == pytest.approx(
        float(first), rel=1e-4
    )


def test_families_say_where_heads_lie():
    llama, gpt2 = family_of_type("llama"), family_of_type("gpt2")
    config = {"num_attention_heads": 4, "num_key_value_heads": 2}
    assert heads_of(llama, "self_attn.q_proj", (128, 96), config) == ("rows", 4, 32)
    assert heads_of(llama, "self_attn.k_proj", (64, 96), config) == ("rows", 2, 32)
    assert heads_of(llama, "self_attn.o_proj", (96, 128), config) == ("columns", 4, 32)
    assert heads_of(llama, "mlp.up_proj", (128, 96), config) is None
    assert heads_of(llama, "self_attn.q_proj", (130, 96), config) is None
    assert heads_of(gpt2, "attn.c_proj", (32, 32), {"n_head": 2}) == ("columns", 2, 16)
    assert heads_of(gpt2, "attn.c_attn", (96, 32), {"n_head": 2}) is None
    assert heads_of(family_of_type("mamba"), "mixer.out_proj", (32, 64), {"num_heads": 4}) is None


# --- the closed form -----------------------------------------------------------------------------


def example(pattern, width=16, tokens=200, rows=3, dampening=0.01, seed=0):
    inputs = seeded(tokens, width, seed=seed, dtype=torch.float64)
    inputs = inputs @ seeded(width, width, seed=seed + 1, dtype=torch.float64)  # correlated
    dense = seeded(rows, width, seed=seed + 2)
    pruned = torch.zeros(rows, width, dtype=torch.bool)
    pruned[:, ::2] = True
    if isinstance(pattern, SemiStructured):
        pruned[1] = torch.tensor([1, 1, 0, 0] * (width // 4), dtype=torch.bool)
    stored = dense.masked_fill(pruned, 0)
    stats = LayerStats((inputs.T @ inputs).float(), tokens)
    found = worked(dense, stored, pruned, stats, dampening, 1, pattern, ("APT", True))
    return found, inputs, dense[1].double(), pruned[1], stats


@pytest.mark.parametrize("pattern", [HALF, SemiStructured(keep=2, of=4)])
@pytest.mark.parametrize("seed", range(4))
def test_the_worked_row_is_the_least_squares_solution(pattern, seed):
    """The same minimum by another way: kept columns fitted to what the removed ones gave, ridge rows below."""
    found, _, dense, pruned, stats = example(pattern, seed=seed)
    gram = stats.gram.double()
    ridge = found.dampening * gram.diagonal().mean()
    root = torch.linalg.cholesky(
        gram + ridge * torch.eye(len(gram), dtype=torch.float64)
    ).T  # rows: tokens and ridge
    gone = list(found.columns)
    free = [column for column in range(len(dense)) if column not in gone]
    target = root[:, gone] @ dense[gone]
    fitted = torch.linalg.lstsq(root[:, free], target[:, None]).solution[:, 0]
    step = torch.zeros_like(dense)
    step[gone], step[free] = -dense[gone], fitted
    assert found.predicted == pytest.approx(float((root @ step).square().sum()), rel=1e-8)
    assert found.exact == pytest.approx(float(step @ gram @ step), rel=1e-8)
    for moved in found.moved:
        assert moved.by == pytest.approx(float(step[moved.column]), rel=1e-7)
        by_hand = -sum(m * h for m, h in zip(found.multipliers, moved.inverse, strict=True))
        assert moved.by == pytest.approx(by_hand, rel=1e-9)
    assert found.predicted == pytest.approx(
        sum(m * w for m, w in zip(found.multipliers, found.weights, strict=True)) / 2, rel=1e-9
    )
    assert found.exact < found.predicted and found.exact < found.zeroed
    assert all(bool(pruned[column]) for column in found.columns)


def test_the_exact_loss_is_that_of_the_outputs():
    found, inputs, dense, pruned, _ = example(HALF)
    zeroed = torch.zeros_like(dense)
    zeroed[list(found.columns)] = dense[list(found.columns)]
    assert found.zeroed == pytest.approx(float((inputs @ zeroed).square().sum()), rel=1e-4)
    assert found.whole.stored == pytest.approx(float((inputs @ (dense * pruned)).square().sum()), rel=1e-4)
    assert found.whole.stored == found.whole.zeroed  # nothing was moved
    assert found.whole.optimum < found.whole.zeroed


def test_without_dampening_the_prediction_is_exact_and_the_whole_row_the_best_there_is():
    found, inputs, dense, pruned, _ = example(HALF, dampening=1e-12)
    assert found.predicted == pytest.approx(found.exact, rel=1e-6)
    kept = (~pruned).nonzero().flatten()
    best = torch.linalg.lstsq(inputs[:, kept], (inputs @ dense)[:, None])
    left = (inputs[:, kept] @ best.solution[:, 0] - inputs @ dense).square().sum()
    assert found.whole.optimum == pytest.approx(float(left), rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_no_weights_with_the_same_mask_are_below_the_optimum(seed):
    """A theorem only with the dampening's part: the undamped loss alone can be lower."""
    found, _, dense, pruned, stats = example(HALF, seed=seed)
    best = found.whole.dampened_optimum
    assert best <= found.whole.dampened_stored
    for dampening in (1e-9, 0.001, 0.1):  # the best of other objectives
        hessian = dampened(stats.gram.double(), dampening)
        other = full_compensation(dense[None], pruned[None], hessian)
        again = worked(dense[None].float(), other.float(), pruned[None], stats, 0.01, 0, HALF, ("APT", True))
        assert best <= again.whole.dampened_stored * (1 + 1e-6)
        if dampening < 0.001:
            assert again.whole.stored < again.whole.optimum  # what the page must not call a bound


def test_the_example_of_the_docstring():
    stats = LayerStats(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), 2)
    dense, pruned = torch.tensor([[1.0, 3.0]]), torch.tensor([[True, False]])
    found = worked(dense, dense * ~pruned, pruned, stats, 1e-12, 0, HALF, ("Wanda", False))
    assert found.inverse == ((pytest.approx(1 / 3),),) and found.multipliers == (pytest.approx(3.0),)
    assert found.moved[0].by == pytest.approx(0.5) and found.predicted == pytest.approx(1.5)
    assert "all that the row lost" in worked_lines(found)[0][1]
    assert "Wanda is not APT's own rule" in worked_note(found)


def test_the_example_takes_one_group_or_four_removals():
    assert len(example(HALF)[0].columns) == 4
    in_group, *_ = example(SemiStructured(keep=2, of=4))
    assert len(in_group.columns) == 2 and len({column // 4 for column in in_group.columns}) == 1


def test_a_row_that_lost_nothing_has_no_equation():
    stats = LayerStats(torch.eye(4), 4)
    none = torch.zeros(2, 4, dtype=torch.bool)
    assert worked(torch.ones(2, 4), torch.ones(2, 4), none, stats, 0.01, 0, HALF, ("APT", True)) is None


def test_dead_inputs_and_tiny_units_do_not_break_the_equation():
    gram = torch.diag(torch.tensor([0.0, 4.0, 2.0, 1.0])) * 1e-12
    dense = torch.ones(1, 4)
    pruned = torch.tensor([[True, True, False, False]])
    found = worked(dense, dense * ~pruned, pruned, LayerStats(gram, 9), 0.01, 0, HALF, ("APT", True))
    assert found.exact == pytest.approx(4e-12, rel=1e-6)


# --- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba", "mixtral", "zamba2", "nemotron_h"])
def test_inputs_are_those_that_the_model_itself_gives_the_layer(family):
    model = tiny_families.model(family).eval().requires_grad_(False)
    store = MemoryStore(model)
    windows = torch.randint(0, 256, (3, 24), generator=torch.Generator().manual_seed(0))
    layer = next(one for one in reversed(families.all_layers(store.blocks)) if not one.routed)
    seen = []
    hook = layer.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    model(input_ids=windows)
    hook.remove()
    flat = torch.cat(seen).reshape(-1, layer.in_features)
    uses = flat[: windows.numel()]  # of a layer that later blocks share, the first use
    found = drained(input_statistics(model, store, windows, layer.block, layer.name))
    assert found.tokens == windows.numel()
    assert torch.allclose(found.gram, uses.T @ uses, rtol=1e-3, atol=1e-4)


def test_outliers_thresholds_and_dead_inputs():
    dense, gram = seeded(10, 8), torch.diag(torch.tensor([1.0, 1, 1, 1, 1, 1, 900, 0]))
    pruned = torch.zeros(10, 8, dtype=torch.bool)
    scores = dense.abs() * gram.diagonal().sqrt()
    pruned.view(-1)[scores.view(-1).argsort()[:30]] = True
    found = inputs_of(dense, dense * ~pruned, pruned, LayerStats(gram, 100), 0.01, "wanda", 0.5)
    assert [one.column for one in found.outliers] == [6] and found.outliers[0].times_median == pytest.approx(
        30
    )
    assert found.dead == 1 and found.reported == 0.5
    own, obs = found.saliencies
    assert own.own and not obs.own
    assert own.agreement == 1 and own.threshold == pytest.approx(float(scores[pruned].max().log10()))
    assert own.zeros == int((scores == 0).sum()) == 10
    assert sum(own.removed) + sum(own.kept) + own.zeros == 80
    assert sum(own.removed) == 20  # the ten of the dead input have no logarithm


def test_where_only_zero_scores_went_there_is_no_threshold():
    """A score of zero has no logarithm: a line at 10^0 would be drawn where nothing is."""
    dense, gram = seeded(10, 8), torch.diag(torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 0]))
    pruned = torch.zeros(10, 8, dtype=torch.bool)
    pruned[:5, 7] = True  # weights of the dead input alone
    found = inputs_of(dense, dense * ~pruned, pruned, LayerStats(gram, 100), 0.01, "wanda", 0.5)
    own = found.saliencies[0]
    assert own.threshold is None and own.agreement == 1
    said = saliency_sentence(own)
    assert "score exactly zero" in said and "100% of the removed" in said and "at 1," not in said
    nothing = torch.zeros(10, 8, dtype=torch.bool)
    whole = inputs_of(dense, dense, nothing, LayerStats(gram, 100), 0.01, "wanda", 0.0).saliencies[0]
    assert whole.threshold is None and "nothing was removed" in saliency_sentence(whole)


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba", "opt", "gpt_neox", "phi3"])
def test_one_layer_is_read_as_the_model_has_it(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / family)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for layer in families.all_layers(families.decoder_blocks(model)):
        assert torch.equal(read_layer(folder, layer.block, layer.name), layer.matrix), layer.name


def test_a_packed_layer_is_read_like_a_plain_one(tmp_path):
    folder = tiny_families.write("llama", tmp_path / "plain")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    layer = families.all_layers(families.decoder_blocks(model))[0]
    layer.matrix[:, ::2] = 0
    model.save_pretrained(folder)
    pack_folder(folder, tmp_path / "packed")
    assert torch.equal(read_layer(tmp_path / "packed", layer.block, layer.name), layer.matrix)


def test_experts_that_are_stored_together_are_refused_in_one_sentence(tmp_path):
    folder = tiny_families.write("granitemoehybrid", tmp_path / "moe")
    with pytest.raises(BadInput, match="together with other matrices"):
        read_layer(folder, 0, "block_sparse_moe.experts.0.gate_up_proj")
