"""Every registered method keeps the same promises."""

from __future__ import annotations

import pytest
import torch

from apt_core.base.errors import BadOption, BadPattern
from apt_core.base.patterns import parse_pattern
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats
from apt_core.maths.pattern import is_exact, removed_count
from apt_core.methods import METHODS, make_method

PATTERNS = ["0", "0.3", "0.5", "0.9", "1:2", "1:3", "2:4", "1:4", "3:4", "5:6", "4:8", "7:16"]


def problem(out=24, width=96, tokens=600, seed=0):
    torch.manual_seed(seed)
    inputs = torch.randn(tokens, width) @ torch.randn(width, width) / width**0.5 + 0.5 * torch.randn(
        tokens, 1
    )
    stats = LayerStats.empty(width)
    stats.add_(inputs)
    return torch.randn(out, width), stats


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", METHODS)
def test_exactly_k_go_the_input_is_untouched_and_zeros_are_exact(name, pattern):
    weight, stats = problem()
    before, wanted = weight.clone(), parse_pattern(pattern)
    result = make_method(name).prune(weight, stats, wanted)
    assert torch.equal(weight, before)
    assert result.weight.dtype == torch.float32
    assert torch.isfinite(result.weight).all()
    assert not result.weight[result.pruned].any()
    assert int(result.pruned.sum()) == removed_count(weight.numel(), wanted.sparsity)
    assert is_exact(result.weight, wanted)


@pytest.mark.parametrize("mask", ["S", "M"])
@pytest.mark.parametrize("pattern", ["0.5", "2:4", "4:8"])
def test_apt_beats_sparsegpt_beats_wanda_beats_magnitude(pattern, mask):
    weight, stats = problem(out=64, width=256, tokens=2000)
    wanted = parse_pattern(pattern)

    def error(name, **options):
        result = make_method(name, options).prune(weight, stats, wanted)
        return relative_error(weight, result.weight, stats.gram)

    apt, sparsegpt = error("apt", mask={"solution": mask}), error("sparsegpt")
    assert apt < sparsegpt < min(error("wanda"), error("magnitude"))


def test_apt_removes_one_weight_as_sparsegpt_does():
    """A single removal with nothing left of it is Optimal Brain Surgeon for both (APT would also move the left)."""
    weight, stats = problem(out=1, width=64)
    weight[0, 1:] *= 100  # so that the first one goes
    wanted = parse_pattern(str(1 / 64))
    apt = make_method("apt", {"mask.block_size": 64}).prune(weight, stats, wanted)
    sparsegpt = make_method("sparsegpt", {"mask.block_size": 64}).prune(weight, stats, wanted)
    assert torch.equal(apt.pruned, sparsegpt.pruned)
    assert apt.pruned[0, 0]
    assert torch.allclose(apt.weight, sparsegpt.weight, atol=1e-3)
    assert not torch.allclose(apt.weight[0, 1:], weight[0, 1:], atol=1e-3)


def test_on_a_shared_mask_in_one_block_apt_is_never_worse_than_sparsegpt():
    for seed in range(8):
        weight, stats = problem(out=16, width=48, seed=seed)
        wanted = parse_pattern("0.5")
        apt = make_method("apt", {"mask": {"solution": "S", "block_size": 48}}).prune(weight, stats, wanted)
        sparsegpt = make_method("sparsegpt", {"mask.block_size": 48}).prune(weight, stats, wanted)
        assert torch.equal(apt.pruned, sparsegpt.pruned)
        ours = relative_error(weight, apt.weight, stats.gram)
        assert ours <= relative_error(weight, sparsegpt.weight, stats.gram) + 1e-4


def test_a_diagonal_gram_leaves_the_kept_weights_alone():
    weight = torch.randn(8, 32)
    stats = LayerStats(torch.diag(torch.rand(32) + 0.5), 100)
    for name in METHODS:
        result = make_method(name).prune(weight, stats, parse_pattern("2:4"))
        assert torch.allclose(result.weight[~result.pruned], weight[~result.pruned], atol=1e-3), name


def test_dead_inputs_go_first_and_do_not_break_anything():
    weight, stats = problem(width=64)
    dead = [3, 10, 40]
    stats.gram[dead] = 0
    stats.gram[:, dead] = 0
    for name in ("sparsegpt", "apt"):
        result = make_method(name).prune(weight, stats, parse_pattern("0.5"))
        assert result.pruned[:, dead].all(), name
        assert torch.isfinite(result.weight).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_width_that_does_not_divide_is_refused(name):
    weight, stats = problem(width=66)
    with pytest.raises(BadPattern, match="divisible by 4"):
        make_method(name).prune(weight, stats, parse_pattern("2:4"))


def test_options_are_checked_with_one_sentence():
    with pytest.raises(BadOption, match="block_size"):
        make_method("apt", {"mask.block_size": 0})
    with pytest.raises(BadOption, match="blok_size"):
        make_method("apt", {"blok_size": 64})
    with pytest.raises(BadOption, match="no method 'atp'"):
        make_method("atp")
    with pytest.raises(BadOption, match="dampening"):
        make_method("sparsegpt", {"dampening": float("nan")})


def test_the_registry_offers_what_a_page_needs():
    assert next(iter(METHODS)) == "apt"
    for method in METHODS.values():
        assert method.title
        assert method.source
        assert method.summary.endswith(".")
        assert method().model_dump() is not None
