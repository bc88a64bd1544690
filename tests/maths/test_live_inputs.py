"""Dead inputs go first under every method, and what is left is the problem without them."""

from __future__ import annotations

import math

import pytest
import tiny_families
import torch

from apt_core import families
from apt_core.base.clock import Clock
from apt_core.base.patterns import SemiStructured, Unstructured, parse_pattern
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats, dampened
from apt_core.maths.live_inputs import prune_live_inputs
from apt_core.methods import METHODS, make_method
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes.entering import Entering
from apt_core.passes.halting import Halting
from apt_core.passes.runner import Runner

PATTERNS = ["0.5", "0.7", "2:4", "4:8"]


def layer_with_dead_inputs(share, out=24, width=64, tokens=500, seed=0):
    """(weight, statistics, inputs, dead): a share of the inputs is zero on every token."""
    torch.manual_seed(seed)
    inputs = torch.randn(tokens, width) @ torch.randn(width, width) / width**0.5 + 0.5 * torch.randn(
        tokens, 1
    )
    dead = torch.zeros(width, dtype=torch.bool)
    dead[torch.randperm(width)[: round(share * width)]] = True
    inputs[:, dead] = 0
    return torch.randn(out, width), stats_of(inputs), inputs, dead


def stats_of(inputs):
    stats = LayerStats.empty(inputs.shape[1])
    stats.add_(inputs)
    return stats


def check_counts(pruned, dead, pattern):
    """Exactly as many go as asked, and no dead weight stays while a live one of its comparison goes."""
    if isinstance(pattern, SemiStructured):
        groups = pruned.reshape(len(pruned), -1, pattern.of)
        of_dead = dead.reshape(-1, pattern.of).expand(len(pruned), -1, -1)
        assert (groups.sum(dim=2) == pattern.of - pattern.keep).all()
        kept_dead, gone_live = (~groups & of_dead).any(dim=2), (groups & ~of_dead).any(dim=2)
        assert not (kept_dead & gone_live).any()
    else:
        assert int(pruned.sum()) == round(pruned.numel() * pattern.sparsity)
        assert not (bool((~pruned[:, dead]).any()) and bool(pruned[:, ~dead].any()))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("name", METHODS)
def test_dead_weights_go_first(name, share, pattern):
    weight, stats, _, dead = layer_with_dead_inputs(share)
    result = make_method(name).prune(weight, stats, parse_pattern(pattern))
    check_counts(result.pruned, dead, parse_pattern(pattern))
    assert torch.isfinite(result.weight).all()
    assert not result.weight[result.pruned].any()
    left = ~result.pruned & dead
    assert torch.equal(result.weight[left], weight[left]), "what the pattern cannot take stays as it was"


@pytest.mark.parametrize("pattern", ["0.5", "0.7"])
@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("name", METHODS)
def test_what_is_left_is_the_layer_without_its_dead_columns(name, share, pattern):
    """The same live columns as a layer of their own, losing as many fewer as the dead ones gave."""
    weight, stats, inputs, dead = layer_with_dead_inputs(share)
    method, sparsity = make_method(name), float(pattern)
    removed = round(sparsity * weight.numel()) - int(dead.sum()) * len(weight)
    narrow = weight[:, ~dead].contiguous()
    alone = method.prune(
        narrow, stats_of(inputs[:, ~dead]), Unstructured(sparsity=max(removed, 0) / narrow.numel())
    )
    result = method.prune(weight, stats, parse_pattern(pattern))
    wanted = relative_error(narrow, alone.weight, stats_of(inputs[:, ~dead]).gram)
    assert relative_error(weight, result.weight, stats.gram) <= wanted * 1.001 + 1e-6


def sparsegpt_with_dead_inputs(weight, inputs, dead, keep, of, dampening=0.01):
    """SparseGPT as its authors write it, in float64, group after group; dead inputs have the lowest score of all."""
    work, gram = weight.double().clone(), inputs.double().T @ inputs.double()
    level = gram.diagonal()[~dead].mean()
    gram += dampening * level * torch.eye(len(gram), dtype=torch.float64)
    gram[dead, dead] = level
    work[:, dead] = 0
    factor = torch.linalg.cholesky(torch.linalg.inv(gram)).T  # inverse = U^T U
    pruned = torch.zeros_like(work, dtype=torch.bool)
    for column in range(work.shape[1]):
        if column % of == 0:
            group = slice(column, column + of)
            scores = work[:, group] ** 2 / factor.diagonal()[group] ** 2
            scores[:, dead[group]] = -1
            pruned[:, group].scatter_(1, scores.argsort(dim=1)[:, : of - keep], True)
        gone = torch.where(pruned[:, column], work[:, column], 0.0) / factor[column, column]
        work[:, column:] -= gone.unsqueeze(1) * factor[column, column:]
    return work.masked_fill(pruned, 0)


@pytest.mark.parametrize("pattern", ["2:4", "4:8"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("name", ["sparsegpt", "apt", "apt-joint", "alps", "admm", "thanos"])
def test_in_groups_no_method_that_compensates_loses_more_than_sparsegpt(name, share, pattern):
    weight, stats, inputs, dead = layer_with_dead_inputs(share, out=48, tokens=1500)
    wanted = parse_pattern(pattern)
    textbook = sparsegpt_with_dead_inputs(weight, inputs, dead, wanted.keep, wanted.of).float()
    alone = relative_error(weight, textbook, stats.gram)
    ours = relative_error(weight, make_method(name).prune(weight, stats, wanted).weight, stats.gram)
    # Thanos scores by Wanda's rule, ADMM by a ridge ten times as large: they may lose a little more.
    assert ours <= alone * (1.15 if name in ("thanos", "admm") else 1.001) + 1e-6


@pytest.mark.parametrize("pattern", PATTERNS)
def test_weights_that_are_zero_already_are_not_taken_in_place_of_dead_ones(pattern):
    """A model that was pruned before: its zeros are live, and compensation may still use them."""
    weight, stats, _, dead = layer_with_dead_inputs(0.3)
    weight[torch.rand_like(weight) < 0.4] = 0
    for name in METHODS:
        result = make_method(name).prune(weight, stats, parse_pattern(pattern))
        check_counts(result.pruned, dead, parse_pattern(pattern))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", METHODS)
def test_a_layer_of_dead_inputs_alone_loses_what_was_asked(name, pattern):
    weight, stats = torch.randn(8, 16), LayerStats(torch.zeros(16, 16), 100)
    result = make_method(name).prune(weight, stats, parse_pattern(pattern))
    assert int(result.pruned.sum()) == round(weight.numel() * parse_pattern(pattern).sparsity)
    assert torch.equal(result.weight, weight.masked_fill(result.pruned, 0))


def test_almost_all_of_a_layer_with_dead_inputs():
    weight, stats, _, _ = layer_with_dead_inputs(0.3, out=1, width=10)
    result = make_method("apt").prune(weight, stats, Unstructured(sparsity=0.99))
    assert result.pruned.all()


def test_the_example_of_the_text():
    weight, stats, _, dead = layer_with_dead_inputs(0.5, out=6, width=4)

    def first(live, _, pattern):
        count = round(live.numel() * pattern.sparsity)
        pruned = (torch.arange(live.numel()) < count).view(live.shape)
        return live.masked_fill(pruned, 0), pruned

    def gone(sparsity):
        _, pruned = prune_live_inputs(weight, stats, Unstructured(sparsity=sparsity), first)
        return int(pruned[:, dead].sum()), int(pruned[:, ~dead].sum())

    assert (gone(0.25), gone(0.5), gone(0.75)) == ((6, 0), (12, 0), (12, 6))


def test_the_dampening_is_a_share_of_the_live_inputs_mean():
    gram = torch.diag(torch.tensor([4.0, 0.0, 0.0, 8.0]))
    assert dampened(gram, 0.1).diagonal().tolist() == pytest.approx([4.6, 6.0, 6.0, 8.6])
    assert dampened(gram * 1e-20, 0.1).diagonal().tolist() == pytest.approx([4.6e-20, 6e-20, 6e-20, 8.6e-20])
    assert dampened(torch.zeros(2, 2), 0.1).diagonal().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
def test_the_drift_of_dead_inputs_is_aimed_at(pattern):
    """The dense stream uses inputs that are dead in the pruned one: the target asks live weights to stand in.

    Against least squares in float64: W~ = W + a W E (G_live + ridge)^-1 on the live columns.
    """
    torch.manual_seed(3)
    weight, stats, inputs, dead = layer_with_dead_inputs(0.25)
    dense = inputs + 0.3 * torch.randn_like(inputs)  # alive everywhere
    stats.add_drift_(inputs, dense)
    from apt_core.maths.drift import corrected

    found = corrected(weight, stats, 0.4, 0.01)
    x, gap = inputs.double(), (dense - inputs).double()
    live = ~dead
    gram = (x.T @ x)[live][:, live]
    gram += 0.01 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    gram += 0.1 * torch.diag(gram.diagonal())
    change = weight.double() @ (gap.T @ x)[:, live] @ torch.linalg.inv(gram)
    assert torch.allclose(found[:, live].double(), weight[:, live] + 0.4 * change, atol=1e-4)
    assert torch.equal(found[:, dead], weight[:, dead])
    result = make_method("apt-joint").prune(weight, stats, parse_pattern(pattern))
    check_counts(result.pruned, dead, parse_pattern(pattern))


def squared_relu_layers(family):
    """Layers of a tiny model whose inputs come out of a ReLU, a third of them dead: (weight, statistics)."""
    model = tiny_families.model(family).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("fc1.bias", "up_proj.bias")):
                parameter[::3] = -100.0  # never on
    blocks = families.decoder_blocks(model)
    layers = families.all_layers(blocks)
    for name, module in model.named_modules():  # families without that bias: their rows point nowhere
        if name.endswith("up_proj") and getattr(module, "bias", None) is None:
            module.weight.data[::3] = 0
    torch.manual_seed(0)
    windows = torch.randint(0, 256, (8, 64))
    entering, found = Entering.of(model, blocks, windows, batch=4), []

    class Collector(Halting):
        def visit(self, block):
            for arrival in super().visit(block):
                if arrival is not None and bool(arrival.stats.dead.any()):
                    found.append((arrival.layer.matrix.detach().float().contiguous(), arrival.stats))
                yield arrival

    walk = Collector(entering.states, 4, layers, Clock())
    for _ in Runner(MemoryStore(model), entering).run(walk):
        pass
    return found


@pytest.mark.parametrize("family", ["opt", "nemotron_h"])
def test_layers_behind_a_relu(family):
    layers = squared_relu_layers(family)
    assert layers, "the model has dead inputs"
    for weight, stats in layers:
        for name in METHODS:
            for pattern in PATTERNS:
                wanted = parse_pattern(pattern)
                result = make_method(name).prune(weight, stats, wanted)
                check_counts(result.pruned, stats.dead, wanted)
                assert math.isfinite(relative_error(weight, result.weight, stats.gram)), (name, pattern)
