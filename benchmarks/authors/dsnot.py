"""DSnoT (arXiv 2310.08915): which weights trade places, from Wanda's mask, in the attention of some blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths.dsnot import InputMoments, grown_and_pruned
from benchmarks.authors import borrowed
from benchmarks.authors.borrowed import RecordedBlock, RecordedModel
from benchmarks.authors.recorded import Dense

_CYCLES, _TOLERANCE = 50, 0.1


def dsnot(repository: Path, dense: Dense) -> list[dict[str, Any]]:
    """At 60% and at 2:4, with variances over all tokens as ours has them, and within windows as theirs."""
    patterns = (Unstructured(sparsity=0.6), SemiStructured(keep=2, of=4))
    return [row for pattern in patterns for row in _compared(repository, dense, pattern)]


def _compared(
    repository: Path, dense: Dense, pattern: Unstructured | SemiStructured
) -> Iterator[dict[str, Any]]:
    attention = [
        {name: weight for name, weight in weights.items() if name.startswith("self_attn")}
        for weights in dense.weights
    ]
    inputs = [
        {name: read[name] for name in weights} for weights, read in zip(attention, dense.inputs, strict=True)
    ]
    found = _theirs(repository, attention, inputs, pattern)
    for within in (False, True):
        counts = _Counts()
        for weights, read, theirs in zip(attention, inputs, found, strict=True):
            for name, weight in weights.items():
                counts.add(weight, read[name], theirs[name], pattern, within)
        variance = ", ours with their variance" if within else ""
        yield counts.said(f"DSnoT: masks at {pattern.label}{variance}")


def _theirs(
    repository: Path, weights: list[Any], inputs: list[Any], pattern: Unstructured | SemiStructured
) -> list[dict[str, Tensor]]:
    windows = len(next(iter(inputs[0].values())))
    model = RecordedModel([RecordedBlock(*pair) for pair in zip(weights, inputs, strict=True)])
    asked = SimpleNamespace(
        nsamples=windows, seed=0, sparsity_ratio=pattern.sparsity, initial_method="wanda",
        max_cycle_time=_CYCLES, update_threshold=_TOLERANCE, pow_of_var_regrowing=1, pow_of_var_pruning=1,
        skip_layer="mlp", skip_sub_layer="no_skip", without_DSnoT=False, without_same_sign=True,
        get_time_overhead=False,
    )  # fmt: skip
    removed, of = (pattern.of - pattern.keep, pattern.of) if isinstance(pattern, SemiStructured) else (0, 0)
    with borrowed.modules_of(repository, "lib", absent=("datasets",)):
        theirs = borrowed.module("lib.prune")
        borrowed.with_recorded_inputs(theirs, windows)
        theirs.prune_DSnoT(asked, model, None, torch.device("cpu"), removed, of)
    return [block.pruned() for block in model.blocks]


class _Counts:
    """Agreement over all layers: of rows, of single places, of the places that were traded."""

    def __init__(self) -> None:
        self.rows = self.same_rows = self.places = self.same = 0
        self.traded = self.traded_alike = 0
        self.left = [0.0, 0.0]  # sums over rows of |expected error|: theirs, ours

    def add(
        self,
        weight: Tensor,
        inputs: Tensor,
        theirs: Tensor,
        pattern: Unstructured | SemiStructured,
        within: bool,
    ) -> None:
        start = _wanda(weight, inputs, pattern)
        ours = grown_and_pruned(weight, start, _moments(inputs, within), pattern, _CYCLES, _TOLERANCE)
        gain = weight * inputs.sum((0, 1)) / len(inputs)
        self.rows += len(weight)
        self.same_rows += int((ours == theirs).all(1).sum())
        self.places += weight.numel()
        self.same += int((ours == theirs).sum())
        self.traded += int(((theirs != start) | (ours != start)).sum())
        self.traded_alike += int(((theirs != start) & (ours != start)).sum())
        for place, mask in enumerate((theirs, ours)):
            self.left[place] += float((gain * mask).sum(1).abs().sum())

    def said(self, what: str) -> dict[str, Any]:
        return {
            "what": what,
            "agreement": self.same / self.places,
            "rows_alike": self.same_rows / self.rows,
            "trades_alike": self.traded_alike / max(1, self.traded),
            "error_left": {"theirs": self.left[0] / self.rows, "ours": self.left[1] / self.rows},
            "of": self.places,
        }


def _moments(inputs: Tensor, within: bool) -> InputMoments:
    """within: the mean over windows of the variance inside each, which leaves out how windows differ."""
    windows, tokens, _ = inputs.shape
    found = InputMoments.of(inputs.sum((0, 1)), inputs.square().sum((0, 1)), windows * tokens, windows)
    return found._replace(variance=inputs.var(1, correction=0).mean(0)) if within else found


def _wanda(weight: Tensor, inputs: Tensor, pattern: Unstructured | SemiStructured) -> Tensor:
    saliency = weight.abs() * inputs.square().sum((0, 1)).sqrt()
    of = pattern.of if isinstance(pattern, SemiStructured) else saliency.shape[1]
    grouped = saliency.reshape(len(weight), -1, of)
    count = pattern.of - pattern.keep if isinstance(pattern, SemiStructured) else int(of * pattern.sparsity)
    lowest = grouped.sort(dim=2, stable=True).indices[:, :, :count]
    return torch.zeros_like(grouped, dtype=torch.bool).scatter_(2, lowest, True).reshape(weight.shape)
