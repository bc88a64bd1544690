"""What reaches a layer in the pruned model: computed again, by a walk of the calibration windows up to its block."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from apt_core import families
from apt_core.base.errors import BadInput
from apt_core.base.limits import windows_per_batch
from apt_core.families import Layer
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats
from apt_core.maths.saliency import wanda
from apt_core.measure.inside.tiles import histogram
from apt_core.measure.inside.values import Inputs, Outlier, Saliency
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.runner import OpenBlock, Propagation, Runner
from apt_core.passes.statistics import InputStatistics

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_OUTLIER = 6.0  # times the median norm
_SHOWN, _BINS = 12, 48


@torch.no_grad()
def input_statistics(
    model: PreTrainedModel, store: WeightStore, windows: Tensor, block: int, layer: str
) -> Generator[int, None, LayerStats]:
    """Yields the block that the windows are in; returns the Gram matrix of the layer's inputs.

    windows: [windows, length] token ids on the model's device.
    """
    batch = windows_per_batch(*windows.shape)
    with EmbeddingAndHead.of(model, store).skip_blocks():
        entering = Entering.of(model, store.blocks, windows, batch)
    seen: InputStatistics[str] = InputStatistics()

    def around(opened: OpenBlock) -> AbstractContextManager[Any]:
        return _counting(seen, opened, layer) if opened.index == block else nullcontext()

    passing, per_block = Propagation(entering.states, batch, around), -(-len(windows) // batch)
    for step, _ in enumerate(Runner(store, entering).run(passing, range(block + 1))):
        yield step // per_block
    if layer not in seen.stats:
        raise BadInput(
            f"No token of the calibration text reaches block {block}, {layer}; choose another layer."
        )
    return seen.stats[layer]


def _counting(seen: InputStatistics[str], opened: OpenBlock, name: str) -> AbstractContextManager[Any]:
    """Hooks on this layer, and where transformers does not call it, what makes it do so."""
    layers = families.prunable_layers(opened.module, opened.index, optional=True)
    own: list[Layer] = [layer for layer in layers if layer.name == name]
    stack = ExitStack()
    for proxy in families.module_proxies(own):
        stack.callback(proxy.remove)
    stack.enter_context(seen.adding({layer.name: layer.module for layer in own}))
    return stack


def inputs_of(
    dense: Tensor,
    stored: Tensor,
    pruned: Tensor,
    stats: LayerStats,
    dampening: float,
    score: str,
    reported: float,
) -> Inputs:
    """score: what the run's mask compares (`Mask.compares`). reported: the relative error that the run said."""
    norms = (stats.gram.diagonal().clamp_min(0).double() / max(stats.tokens, 1)).sqrt()
    live = norms[norms > 0]
    return Inputs(
        tokens=stats.tokens,
        norms=histogram(live.log10() if len(live) else torch.zeros(1, dtype=torch.float64)),
        dead=int((norms == 0).sum()),
        outliers=_outliers(norms, pruned),
        saliencies=(
            _saliency("wanda", wanda(dense, stats.gram), pruned, own=score == "wanda"),
            _saliency("obs", _alone(dense, stats, dampening), pruned, own=score == "obs"),
        ),
        relative_error=relative_error(dense, stored, stats.gram),
        reported=reported,
    )


def _outliers(norms: Tensor, pruned: Tensor) -> tuple[Outlier, ...]:
    median = float(norms.median())
    kept = (~pruned).double().mean(dim=0)
    order = norms.argsort(descending=True, stable=True)[:_SHOWN].tolist()
    return tuple(
        Outlier(
            column=column,
            norm=float(norms[column]),
            times_median=float(norms[column]) / median,
            kept=float(kept[column]),
        )
        for column in order
        if median > 0 and float(norms[column]) >= _OUTLIER * median
    )


def _alone(dense: Tensor, stats: LayerStats, dampening: float) -> Tensor:
    """w^2 / [H^-1]_jj (H = the dampened Gram matrix): removing one weight when all others may make up for it."""
    inverse_diagonal = stats.inverse_factor(dampening).square().sum(dim=0)
    return dense.square() / inverse_diagonal


_SAID = {
    "wanda": ("Wanda's score", "|w| · ‖x‖"),
    "obs": ("Optimal Brain Surgeon's score", "w² / [H⁻¹]ⱼⱼ"),
}


def _saliency(name: str, scores: Tensor, pruned: Tensor, own: bool) -> Saliency:
    flat, gone = scores.reshape(-1).double(), pruned.reshape(-1)
    removed = int(gone.sum())
    above = flat > 0
    logs = flat[above].log10()
    bins = histogram(logs if len(logs) else torch.zeros(1, dtype=torch.float64), _BINS)
    low, high, count = bins.edges[0], bins.edges[-1], len(bins.counts)
    title, formula = _SAID[name]
    cut = float(flat.kthvalue(removed).values) if removed else None
    return Saliency.model_validate(
        {
            "name": name,
            "title": title,
            "formula": formula,
            "own": own,
            "threshold": _log10(cut) if cut else None,
            "agreement": None if cut is None else float((flat[gone] <= cut).double().mean()),
            "zeros": int((~above).sum()),
            "edges": bins.edges,
            "removed": torch.histc(flat[above & gone].log10(), count, low, high).int().tolist(),
            "kept": torch.histc(flat[above & ~gone].log10(), count, low, high).int().tolist(),
        }
    )


def _log10(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float64).log10())
