"""AlphaPruning (arXiv 2410.10912) and OWL (2310.05175): exponents, outlier ratios, sparsities of blocks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from apt_core.base.patterns import Unstructured
from apt_core.methods.allocations.alphapruning import AlphaPruning
from apt_core.methods.allocations.owl import Owl
from apt_core.methods.component import DenseModel, LayerKey, SeenLayer
from benchmarks.authors import borrowed
from benchmarks.authors.borrowed import RecordedBlock, RecordedModel
from benchmarks.authors.recorded import Dense

SPARSITY = 0.7


def alphapruning(repository: Path, dense: Dense) -> list[dict[str, Any]]:
    """Exponents of every matrix and sparsities of every layer, both ways to find where the tail begins."""
    rows = []
    model = RecordedModel([RecordedBlock(weights, {}) for weights in dense.weights])
    order = [(block, name) for block, weights in enumerate(dense.weights) for name in weights]
    with borrowed.modules_of(repository, "lib", absent=("weightwatcher", "datasets")):
        spectra, prune = _alpha_modules()
        for metric in ("mid", "peak"):
            found = spectra.net_esd_estimator(model.model.layers, fix_fingers=f"xmin_{metric}")
            theirs = _alpha_shares(prune, model, found["alpha"])
            by_matrix = AlphaPruning(metric=metric, by="matrix")
            ours = [
                by_matrix.scores({name: SeenLayer(weight)})[name]
                for weights in dense.weights
                for name, weight in weights.items()
            ]
            shares = _shares(AlphaPruning(metric=metric), dense, order)
            rows += [
                _difference(f"AlphaPruning, {metric}: exponents of matrices", found["alpha"], ours),
                _difference(f"AlphaPruning, {metric}: sparsities at {SPARSITY:.0%}", theirs, shares),
            ]
    return rows


def _alpha_modules() -> tuple[Any, Any]:
    spectra, prune = borrowed.module("lib.esd_utils"), borrowed.module("lib.prune")
    for module in (spectra, prune):
        module.print = lambda *_: None
    return spectra, prune


def _alpha_shares(prune: Any, model: RecordedModel, alphas: list[float]) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "alpha.npy", alphas)
        asked = SimpleNamespace(
            model="llama", ww_metric_cache=folder, ww_metric="alpha", mapping_type="block_wise",
            sparsity_ratio=SPARSITY,
        )  # fmt: skip
        found: list[float] = prune.ww_sparsity(asked, model, torch.device("cpu"), 0.7, 1.3)
    return found


def owl(repository: Path, dense: Dense) -> list[dict[str, Any]]:
    """Outlier ratios and sparsities of blocks, and the masks of Wanda at these sparsities."""
    windows = len(dense.windows)
    model = RecordedModel(
        [RecordedBlock(weights, inputs) for weights, inputs in zip(dense.weights, dense.inputs, strict=True)]
    )
    asked = SimpleNamespace(
        model="llama", nsamples=windows, seed=0, sparsity_ratio=SPARSITY, Hyper_m=5.0, Lamda=0.08, use_variant=False
    )  # fmt: skip
    with borrowed.modules_of(repository, "lib", absent=("datasets",)):
        theirs = borrowed.module("lib.prune_all")
        said = borrowed.with_recorded_inputs(theirs, windows)
        theirs.prune_wanda_outlier(asked, model, None, torch.device("cpu"))
    told = {given[0]: given[1] for given in said if len(given) == 2 and isinstance(given[0], str)}
    ratios, kept = told["before adjustment"], told["after adjustment"]
    rule = Owl(deviation=0.08, threshold=5.0)
    order = [(block, name) for block, weights in enumerate(dense.weights) for name in weights]
    first = [next(key for key in order if key[0] == block) for block in range(len(dense.weights))]
    scores = _scores(rule, dense)
    shares = dict(zip(order, _shares(rule, dense, order), strict=True))
    return [
        _difference(
            "OWL: outlier ratios of blocks", [ratio / 100 for ratio in ratios], [scores[key] for key in first]
        ),
        _difference(
            f"OWL: sparsities at {SPARSITY:.0%}", [1 - one for one in kept], [shares[key] for key in first]
        ),
        _masks(model, dense, [1 - float(one) for one in kept]),
    ]


def _masks(model: RecordedModel, dense: Dense, shares: list[float]) -> dict[str, Any]:
    """Their pruned weights against Wanda's lowest of each row at their own sparsities."""
    same = total = 0
    for block, weights, inputs, share in zip(model.blocks, dense.weights, dense.inputs, shares, strict=True):
        for name, theirs in block.pruned().items():
            saliency = weights[name].abs() * inputs[name].square().sum((0, 1)).sqrt()
            lowest = saliency.sort(dim=1, stable=True).indices[:, : int(saliency.shape[1] * share)]
            ours = torch.zeros_like(theirs).scatter_(1, lowest, True)
            same += int((ours == theirs).sum())
            total += ours.numel()
    return {"what": "OWL: masks at their sparsities", "agreement": same / total, "of": total}


def _scores(rule: AlphaPruning | Owl, dense: Dense) -> dict[LayerKey, float]:
    found: dict[LayerKey, float] = {}
    for block, (weights, inputs) in enumerate(zip(dense.weights, dense.inputs, strict=True)):
        seen = {
            name: SeenLayer(weight, inputs[name].square().sum((0, 1))) for name, weight in weights.items()
        }
        found |= {(block, name): score for name, score in rule.scores(seen).items()}
    return found


def _shares(rule: AlphaPruning | Owl, dense: Dense, order: list[LayerKey]) -> list[float]:
    sizes = {key: dense.weights[key[0]][key[1]].numel() for key in order}
    found = rule.shares(DenseModel(sizes, {}, _scores(rule, dense)), Unstructured(sparsity=SPARSITY))
    assert found is not None
    return [found[key] for key in order]


def _difference(what: str, theirs: Any, ours: list[float]) -> dict[str, Any]:
    """The largest, and how far their own values spread."""
    values = [float(one) for one in theirs]
    apart = [abs(one - other) for one, other in zip(values, ours, strict=True)]
    return {
        "what": what,
        "largest_difference": max(apart),
        "median_difference": sorted(apart)[len(apart) // 2],
        "their_range": [min(values), max(values)],
        "of": len(values),
    }
