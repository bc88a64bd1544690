"""Every mask goes with every refinement and every reconstruction; a method is a named composition."""

from __future__ import annotations

import pytest
import torch

from apt_core.base.patterns import parse_pattern
from apt_core.maths.compensate import full_compensation
from apt_core.maths.dual import sizes
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats, dampened
from apt_core.maths.pattern import is_exact, removed_count
from apt_core.methods import COMPONENTS, METHODS, make_method
from apt_core.methods.masks.thanos import ThanosMask
from apt_core.methods.problem import LayerProblem
from tests.methods.test_methods import problem


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
@pytest.mark.parametrize("reconstruction", COMPONENTS["reconstruction"])
@pytest.mark.parametrize("refinement", COMPONENTS["refinement"])
@pytest.mark.parametrize("mask", COMPONENTS["mask"])
def test_all_components_fit_together(mask, refinement, reconstruction, pattern):
    weight, stats = problem(out=12, width=64)
    wanted = parse_pattern(pattern)
    options = {"mask": mask, "refinement": refinement, "reconstruction": reconstruction}
    result = make_method("wanda", options).prune(weight, stats, wanted)
    assert int(result.pruned.sum()) == removed_count(weight.numel(), wanted.sparsity)
    assert is_exact(result.weight, wanted)
    assert not result.weight[result.pruned].any()
    assert torch.isfinite(result.weight).all()


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
@pytest.mark.parametrize("mask", COMPONENTS["mask"])
def test_more_reconstruction_is_never_worse_on_the_same_mask(mask, pattern):
    """Exact <= joint, block-wise <= none: exact is the least-squares optimum of its mask."""
    weight, stats = problem(out=16, width=96)

    def error(reconstruction):
        options = {"name": reconstruction} | ({"steps": 60} if reconstruction == "joint" else {})
        method = make_method("wanda", {"mask": mask, "reconstruction": options})
        return relative_error(weight, method.prune(weight, stats, parse_pattern(pattern)).weight, stats.gram)

    none, block, joint, exact = (error(name) for name in ("none", "block-wise", "joint", "exact"))
    assert exact <= min(joint, block) * 1.02  # the dampening is part of what is minimised, not of the error
    assert max(joint, block) < none


def test_optima_is_the_exact_optimum_of_wandas_mask():
    weight, stats = problem()
    result = make_method("optima").prune(weight, stats, parse_pattern("0.5"))
    wanda = make_method("wanda").prune(weight, stats, parse_pattern("0.5"))
    assert torch.equal(result.pruned, wanda.pruned)
    best = full_compensation(weight, wanda.pruned, dampened(stats.gram, 0.01))
    assert torch.allclose(result.weight, best, atol=1e-4)


def test_sparseswaps_lowers_wandas_error_without_touching_what_stays():
    weight, stats = problem(out=32, width=128, tokens=2000)
    wanted = parse_pattern("0.5")
    wanda = make_method("wanda").prune(weight, stats, wanted)
    swaps = make_method("sparseswaps").prune(weight, stats, wanted)
    assert torch.equal(swaps.weight[~swaps.pruned], weight[~swaps.pruned])
    ours = relative_error(weight, swaps.weight, stats.gram)
    assert ours < relative_error(weight, wanda.weight, stats.gram)


COMPENSATING = [name for name, mask in COMPONENTS["mask"].items() if mask.moves_weights]


@pytest.mark.parametrize("mask", COMPONENTS["mask"])
def test_a_mask_says_whether_its_search_moves_what_stays(mask):
    weight, stats = problem(out=12, width=64)
    found = COMPONENTS["mask"][mask]().search(LayerProblem(weight, stats, parse_pattern("0.5"), 0.01))
    moved = not torch.equal(found.weight, weight.masked_fill(found.pruned, 0))
    assert moved == COMPONENTS["mask"][mask].moves_weights


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
@pytest.mark.parametrize("refinement", ["dsnot", "sparseswaps"])
@pytest.mark.parametrize("mask", COMPENSATING)
def test_a_refined_mask_starts_from_the_layers_own_weights(mask, refinement, pattern):
    """What the search moved made up for the mask that it had found."""
    weight, stats = problem(out=12, width=64)
    choice = {"name": "dsnot", "where": "everywhere", "tolerance": 0} if refinement == "dsnot" else refinement
    wanted = parse_pattern(pattern)

    def pruned_by(reconstruction):
        options = {"mask": mask, "refinement": choice, "reconstruction": reconstruction}
        return make_method("wanda", options).prune(weight, stats, wanted)

    searched, none, exact = map(pruned_by, ("search", "none", "exact"))
    unrefined = make_method("wanda", {"mask": mask, "reconstruction": "none"}).prune(weight, stats, wanted)
    assert not torch.equal(none.pruned, unrefined.pruned), "something was traded"
    assert torch.equal(searched.weight, none.weight) and torch.equal(none.pruned, exact.pruned)
    best = full_compensation(weight, exact.pruned, dampened(stats.gram, 0.01))
    assert torch.allclose(exact.weight, best, atol=1e-4)


def test_a_refined_mask_is_made_up_for_unless_somebody_says_how():
    for name in ("sparsegpt", "apt", "thanos", "d2prune", "admm"):
        refined = make_method(name, {"refinement": "dsnot"})
        assert refined.reconstruction.name == "exact" and refined.caveat == ""
        assert make_method(name).reconstruction.name == "search"
    assert make_method("wanda", {"refinement": "dsnot"}).reconstruction.name == "none"
    said = make_method("sparsegpt", {"refinement": "dsnot", "reconstruction": "search"})
    assert said.caveat.startswith("DSnoT changes the mask that SparseGPT has made up for")
    assert make_method("sparsegpt", {"refinement": {"name": "none"}}).reconstruction.name == "search"


def test_a_composition_is_called_by_what_it_changed():
    assert make_method("wanda").label == "Wanda"
    assert make_method("apt", {"mask.block_size": 64}).label == "APT (mask.block_size 64)"
    assert make_method("alps", {"allocation": "loss"}).label == "ALPS (allocation loss)"
    changed = make_method("wanda", {"refinement": "sparseswaps", "reconstruction": "exact"})
    assert changed.label == "Wanda (refinement sparseswaps, reconstruction exact)"
    assert make_method("apt-joint").label == "APT joint"


def test_named_compositions_differ():
    """No two names for one thing."""
    named = [str({**method().model_dump(), "name": ""}) for method in METHODS.values()]
    assert len(set(named)) == len(named)


def test_thanos_spends_the_whole_budget_where_scores_are_low():
    """Unstructured budgets are not even over the blocks: a quiet block loses more."""
    weight, stats = problem(out=16, width=128)
    weight[:, 64:] *= 10
    found = ThanosMask(block_size=64).search(LayerProblem(weight, stats, parse_pattern("0.5"), 0.01))
    left, right = int(found.pruned[:, :64].sum()), int(found.pruned[:, 64:].sum())
    assert left + right == removed_count(weight.numel(), 0.5)
    assert left > 2 * right


def test_the_sizes_of_d2prune_are_those_of_its_recursion():
    """The running means of the authors' code, on sequences of equal norm, where the closed form is exact."""
    torch.manual_seed(0)
    weight, base = torch.randn(5, 8), torch.randn(30, 8)
    stats = LayerStats.empty(8)
    y, x, count = torch.zeros(5), torch.zeros(8), 7
    for n in range(1, count + 1):
        stats.add_(base.unsqueeze(0))
        y = y * (n - 1) / n + (base @ weight.T).norm(dim=0) / 1500
        x = x * (n - 1) / n + ((2 / n) ** 0.5 * base).norm(dim=0) / 1500
    outputs, inputs, unit = sizes(weight, stats)
    assert stats.sequences == count
    assert torch.allclose(outputs, y, rtol=1e-3)
    assert torch.allclose(inputs, x, rtol=1e-3)
    assert unit == 2 / count


def test_d2prune_without_its_output_term_is_sparsegpt():
    weight, stats = problem()
    for pattern in ("0.5", "2:4"):
        plain = make_method("d2prune", {"mask.output_weight": 0}).prune(weight, stats, parse_pattern(pattern))
        sparsegpt = make_method("sparsegpt").prune(weight, stats, parse_pattern(pattern))
        assert torch.equal(plain.pruned, sparsegpt.pruned)
        full = make_method("d2prune", {"mask.output_weight": 10_000}).prune(
            weight, stats, parse_pattern(pattern)
        )
        assert not torch.equal(full.pruned, sparsegpt.pruned)
