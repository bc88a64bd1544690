"""Everything seen inside one layer of a finished run: the tensor of each model is read, and nothing else of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from apt_core.base.errors import BadInput
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.events import LayerPruned
from apt_core.families import config_of_block
from apt_core.families.heads import heads_of
from apt_core.jobs import Prune
from apt_core.maths.hessian import LayerStats
from apt_core.measure.inside.change import change
from apt_core.measure.inside.inputs import inputs_of
from apt_core.measure.inside.losers import heads, neurons
from apt_core.measure.inside.tiles import groups_of, kept_counts, tile
from apt_core.measure.inside.values import LayerInside, Losers, Worked
from apt_core.measure.inside.worked import WIDEST, worked
from apt_core.models.load.layer_weight import family_in, read_layer, text_config

_USUAL_DAMPENING = 0.01
_CORNER = 32


class Weights(NamedTuple):
    """A layer before and after, [out, in] float32; pruned is True where the stored weight is zero."""

    dense: Tensor
    stored: Tensor
    pruned: Tensor
    dtype: torch.dtype  # of the checkpoint


def read_weights(
    dense_folder: Path, checkpoint: Path, block: int, layer: str, computed: torch.dtype
) -> Weights:
    """computed: the float type of the run, in which it had the dense weights."""
    dense = read_layer(dense_folder, block, layer).to(computed).float().contiguous()
    stored = read_layer(checkpoint, block, layer)
    if stored.shape != dense.shape:
        raise BadInput(
            f"The dense model's {layer} has {tuple(dense.shape)} weights and the pruned one's {tuple(stored.shape)}; "
            "the model has changed since it was pruned, so prune again."
        )
    kept = stored.float().contiguous()
    return Weights(dense, kept, kept == 0, stored.dtype)


def look(
    run: str,
    job: Prune,
    pruned_layer: LayerPruned,
    weights: Weights,
    dense_folder: Path,
    stats: LayerStats | None = None,
    row: int | None = None,
) -> LayerInside:
    """stats: of the layer's inputs, when they were asked for; `row` is then that of the worked equation."""
    dense, stored, pruned, dtype = weights
    gram = None if stats is None else stats.gram
    pattern = _pattern_of(job, pruned_layer)
    config = config_of_block(text_config(dense_folder), pruned_layer.block)
    where = heads_of(family_in(dense_folder), pruned_layer.layer, pruned_layer.shape, config)
    lost = neurons(dense, stored, pruned, gram)
    example, notes = _worked(job, pruned_layer, weights, stats, lost, row)
    return LayerInside(
        run=run,
        block=pruned_layer.block,
        layer=pruned_layer.layer,
        shape=pruned_layer.shape,
        pattern=job.pattern.label if pattern.by_layer else pattern.label,
        method=job.method.label,
        removed=int(pruned.sum()),
        dtype=str(dtype).removeprefix("torch."),
        mask=tile(pruned, multiple=pattern.of if isinstance(pattern, SemiStructured) else 1),
        corner=tile(pruned[:_CORNER, :_CORNER]),
        rows=kept_counts(pruned, 1),
        columns=kept_counts(pruned, 0),
        groups=groups_of(pruned, pattern) if isinstance(pattern, SemiStructured) else None,
        change=change(dense, stored, pruned, dtype),
        neurons=lost,
        heads=heads(dense, stored, pruned, gram, where) if where else None,
        inputs=inputs_of(
            dense, stored, pruned, stats, _dampening(pruned_layer), job.method.mask.compares,
            pruned_layer.relative_error,
        ) if stats is not None else None,
        worked=example,
        notes=notes,
    )  # fmt: skip


def _dampening(layer: LayerPruned) -> float:
    """What the run used; the usual share where its method needs none."""
    return layer.dampening or _USUAL_DAMPENING


def _worked(
    job: Prune,
    layer: LayerPruned,
    weights: Weights,
    stats: LayerStats | None,
    lost: Losers,
    row: int | None,
) -> tuple[Worked | None, tuple[str, ...]]:
    """The equation on a row, and what a reader must know of it or why it is not there."""
    rows, columns = layer.shape
    if stats is None:
        return None, ()
    if row is not None and row >= rows:
        raise BadInput(f"This layer has the rows 0 to {rows - 1}, and no row {row}.")
    if columns > WIDEST:
        return None, (
            f"With {columns:,} inputs the equation is not worked: its inverse would take too long.",
        )
    chosen = lost.worst[0].index if row is None else row
    dense, stored, pruned, _ = weights
    found = worked(
        dense,
        stored,
        pruned,
        stats,
        _dampening(layer),
        chosen,
        _pattern_of(job, layer),
        (job.method.label, job.method.mask.closed_form),
    )
    return found, () if found else (f"Row {chosen} lost no weight, so there is nothing to compensate.",)


def _pattern_of(job: Prune, layer: LayerPruned) -> Unstructured | SemiStructured:
    """The layer's own, where layers of a mixed N:M pattern differ."""
    if isinstance(job.pattern, SemiStructured) and job.pattern.mixed:
        return job.pattern.of_layer(round(job.pattern.of * (1 - layer.sparsity)))
    return job.pattern
