"""What a refinement does to masks whose search compensates: the layer's error, by what the weights that stay are.

    python -m benchmarks.refinements --masks sparsegpt,apt,alps --pattern 0.6

Training errors tr(D G D') / tr(W G W') of some layers, on windows of a text. Prints one Markdown table.
"""

from __future__ import annotations

import argparse

from torch import Tensor

from apt_core.base.patterns import parse_pattern
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats
from apt_core.methods import make_method
from benchmarks.authors.recorded import Dense, record

_LAYERS = ((3, "self_attn.q_proj"), (10, "self_attn.o_proj"), (10, "mlp.up_proj"), (20, "mlp.down_proj"))
_REFINEMENTS = ({"name": "dsnot", "where": "everywhere"}, {"name": "sparseswaps"})
_HEADS = ("layer", "mask", "as searched", "exact", "refinement", "own weights", "exact after it")


def main() -> None:
    options = _options()
    dense = record(options.model, options.text, options.samples, options.length)
    print(f"| {' | '.join(_HEADS)} |\n|---|---|---:|---:|---|---:|---:|")
    for block, name in _LAYERS:
        for mask in options.masks.split(","):
            for row in _rows(dense, block, name, mask, options.pattern):
                print(f"| {block} {name} | {mask} | {row} |", flush=True)


def _rows(dense: Dense, block: int, name: str, mask: str, pattern: str) -> list[str]:
    weight, inputs = dense.weights[block][name].float(), dense.inputs[block][name].float()

    def error(reconstruction: str, refinement: dict[str, str] | None = None) -> str:
        chosen = {
            "mask": mask,
            "reconstruction": reconstruction,
            "refinement": refinement or {"name": "none"},
        }
        pruned = make_method("wanda", chosen).prune(weight, _statistics(inputs), parse_pattern(pattern))
        return f"{relative_error(weight, pruned.weight, _statistics(inputs).gram):.4f}"

    before = f"{error('search')} | {error('exact')}"
    return [
        f"{before} | {each['name']} | {error('none', each)} | {error('exact', each)}" for each in _REFINEMENTS
    ]


def _statistics(inputs: Tensor) -> LayerStats:
    """inputs: [windows, tokens, in]."""
    stats = LayerStats.empty(inputs.shape[-1])
    for window in inputs:
        stats.add_(window[None])
    stats.sums, stats.sequences = inputs.flatten(0, 1).sum(0), len(inputs)
    return stats


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--text", default="wiki-sample")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--masks", default="sparsegpt,apt,thanos,alps,admm")
    parser.add_argument("--pattern", default="0.6")
    return parser.parse_args()


if __name__ == "__main__":
    main()
