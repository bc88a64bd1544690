"""The three choices a method is composed of: a mask, its refinement, and how the weights that stay make up.

mask:            a rule that says what goes, and the weights it leaves behind while searching
refinement:      the same number of removals per row and group, better placed
reconstruction:  the weights that stay, moved to make up for those that went

The names are those of `methods.composition`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths import pattern as patterns
from apt_core.maths import saliency
from apt_core.maths.admm import admm_mask
from apt_core.maths.alps import alps_mask
from apt_core.maths.block_masks import choose_block
from apt_core.maths.block_wise import prune_block_wise
from apt_core.maths.compensate import full_compensation
from apt_core.maths.gradual import gradual_mask
from apt_core.maths.hessian import LayerStats, dampened
from apt_core.maths.joint import joint_solution, tied_solution
from apt_core.maths.output_metric import OutputMetric
from apt_core.maths.sequential import prune_sequentially
from apt_core.maths.swaps import swapped

_BLOCK = 256  # columns of APT's and Thanos' blocks
_SPARSEGPT_BLOCK = 128
_ADMM_STEPS, _FIRST_RHO, _LAST_RHO = 30, 0.1, 1.0


class Problem(NamedTuple):
    """One layer: `weight` [out, in] float32 is what the outputs are asked to look like.

    outputs: how much each direction of the output counts; None where all count alike. The mask `admm` and
    the reconstruction `joint` go by it.
    """

    weight: Tensor
    stats: LayerStats
    pattern: Unstructured | SemiStructured
    dampening: float
    outputs: OutputMetric | None = None


class Found(NamedTuple):
    pruned: Tensor  # [out, in] bool
    weight: Tensor  # [out, in], zero where pruned: as the search for the mask left it


# ---- masks


def _one_by_one(choose: Callable[[Tensor, Unstructured | SemiStructured], Tensor], score) -> Callable:
    def mask(problem: Problem) -> Found:
        pruned = choose(score(problem.weight, problem.stats.gram), problem.pattern)
        return Found(pruned, problem.weight.masked_fill(pruned, 0))

    return mask


def _sparsegpt(problem: Problem) -> Found:
    weight, stats, pattern, dampening, _ = problem
    factor = stats.inverse_factor(dampening)

    def score(columns: Tensor, start: int, stop: int) -> Tensor:
        return saliency.obs(columns, factor[start:stop, start:stop])

    return _turned(prune_sequentially(weight, factor, stats.dead, pattern, _SPARSEGPT_BLOCK, score))


def apt(problem: Problem, joint: bool, block_size: int = _BLOCK) -> Found:
    """Solution M of every block's mask (`joint`) or solution S, with APT's compensation (arXiv 2410.15567)."""
    weight, stats, pattern, dampening, _ = problem
    factor, dead = stats.inverse_factor(dampening), stats.dead

    def choose(columns: Tensor, start: int, stop: int) -> Tensor:
        return choose_block(
            columns[:, : stop - start],
            factor[start:stop, start:stop],
            dead[start:stop],
            pattern,
            budget=patterns.block_budget(len(weight), start, stop, pattern.sparsity),
            joint=joint,
        )

    return _turned(prune_block_wise(weight, factor, pattern, block_size, choose))


def thanos(problem: Problem, block_size: int = _BLOCK) -> Found:
    """Wanda's scores over all columns that remain, with what is left of the whole budget (arXiv 2504.05346)."""
    weight, stats, pattern, dampening, _ = problem
    factor = stats.inverse_factor(dampening)
    left = patterns.removed_count(weight.numel(), pattern.sparsity)

    def choose(columns: Tensor, start: int, stop: int) -> Tensor:
        nonlocal left
        width = stop - start
        scores = saliency.wanda(columns, stats.gram[start:, start:])
        if isinstance(pattern, SemiStructured):
            return patterns.lowest_per_group(scores[:, :width].contiguous(), pattern.keep, pattern.of)
        gone = patterns.lowest(scores, left)[:, :width].contiguous()
        left -= int(gone.sum())
        return gone

    return _turned(prune_block_wise(weight, factor, pattern, block_size, choose))


def _alps(problem: Problem) -> Found:
    return Found(*alps_mask(problem.weight, _hessian(problem), problem.pattern))


def admm(problem: Problem, steps: int = _ADMM_STEPS) -> Found:
    """ADMM with a penalty that grows geometrically (`maths.admm`)."""
    inputs = problem.stats.spectrum(problem.dampening)
    search = admm_mask(problem.weight, inputs, problem.pattern, steps, _FIRST_RHO, _LAST_RHO, problem.outputs)
    return Found(*search)


def _gradual(problem: Problem) -> Found:
    return Found(*gradual_mask(problem.weight, problem.stats.gram, problem.pattern, problem.dampening))


MASKS: dict[str, Callable[[Problem], Found]] = {
    "magnitude": _one_by_one(patterns.choose_in_matrix, lambda weight, gram: weight.abs()),
    "wanda": _one_by_one(patterns.choose_by_row, saliency.wanda),
    "ria": _one_by_one(patterns.choose_in_matrix, saliency.ria),
    "sparsegpt": _sparsegpt,
    "apt": lambda problem: apt(problem, joint=isinstance(problem.pattern, SemiStructured)),
    "thanos": thanos,
    "gradual-admm": _gradual,
    "alps": _alps,
    "admm": admm,
}


# ---- refinements


def refine(name: str, problem: Problem, found: Found, rounds: int) -> Found:
    if name == "none":
        return found
    pruned = swapped(problem.weight, found.pruned, problem.stats.gram, problem.pattern, rounds)
    back = found.pruned & ~pruned  # what returns begins at its dense weight
    return Found(pruned, problem.weight.where(back, found.weight).masked_fill_(pruned, 0))


# ---- reconstructions


def _dense(problem: Problem, found: Found, steps: int) -> Tensor:
    return problem.weight.masked_fill(found.pruned, 0)


def _search(problem: Problem, found: Found, steps: int) -> Tensor:
    return found.weight


def _block_wise(problem: Problem, found: Found, steps: int) -> Tensor:
    factor = problem.stats.inverse_factor(problem.dampening)
    given = found.pruned
    return prune_block_wise(
        problem.weight, factor, problem.pattern, _BLOCK, lambda _, start, stop: given[:, start:stop]
    )[0]


def _joint(problem: Problem, found: Found, steps: int) -> Tensor:
    weight, stats, _, dampening, outputs = problem
    if outputs is None:
        return joint_solution(weight, found.pruned, _hessian(problem), steps, start=found.weight)
    return tied_solution(weight, found.pruned, stats.spectrum(dampening), outputs, steps, start=found.weight)


def _exact(problem: Problem, found: Found, steps: int) -> Tensor:
    return full_compensation(problem.weight, found.pruned, _hessian(problem))


RECONSTRUCTIONS: dict[str, Callable[[Problem, Found, int], Tensor]] = {
    "none": _dense,
    "search": _search,
    "block-wise": _block_wise,
    "joint": _joint,
    "exact": _exact,
}


def _hessian(problem: Problem) -> Float[Tensor, "in in"]:
    return dampened(problem.stats.gram, problem.dampening)


def _turned(result: tuple[Float[Tensor, "out in"], Bool[Tensor, "out in"]]) -> Found:
    weight, pruned = result
    return Found(pruned, weight)
