"""How much memory a run's worker takes at its peak, from the measures of the model. No torch.

    peak = process + tokenizer + the largest of
           reading:     weights + the largest piece that is mapped while it is converted
           evaluating:  weights + hidden states of the evaluation set, and a block's activations or some logits
           gradients:   weights + what a few windows hold on their way back through a block
                        + the states between all blocks
           pruning:     weights + hidden states and what the paused forwards hold in front of a layer
                        + the matrices that solving this layer takes
                        + what the loss minds, of all blocks

With all blocks in memory the weights are the whole model's, otherwise those beside the blocks and one block, and while
blocks are pruned that block alone; what is kept of all blocks is on disk as well then. Where all would fit, they are
there together while decoding is timed.
Constants are fitted to measured peaks (`python -m benchmarks.memory`; glibc, CPU).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from apt_core.estimate.rates import GRADIENT_TOKENS, distinct_input
from apt_core.jobs.recipe import Evaluation, Recipe
from apt_core.methods import Statistic
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.catalogue.shape import LayerShape

# Of the decoder blocks: all in memory; one at a time, though all would fit; one at a time because they would not.
WeightsIn = Literal["memory", "by block", "disk"]

_PROCESS = 410_000_000  # bytes of a worker that has computed something, before any weight
_PER_TOKEN = 1_000  # bytes of a tokenizer per token it knows: 950 measured for SmolLM2, 1,240 for Gemma
_FLOAT = 4
_BACK_TOKENS, _METRIC_RANK = 2048, 64  # as in `sensitivity` and `maths.output_metric`
_LOGITS_BYTES = 64_000_000  # as in `bypass`
_TOKENS_PER_BATCH = 4096  # as in `pruning` and `perplexity`
# The heap keeps gaps between tensors of up to 32 MB, so not between those of a scan; runs from disk give them back
# (`hardware`).
_GAPS, _MOST_GAPS = 0.25, 200_000_000


class _Solver(NamedTuple):
    """Matrices that exist together while one layer is solved, its statistics included."""

    inputs: float  # [in, in]
    weights: float  # [out, in]
    outputs: float = 0.0  # [out, out]


# Measured one layer at a time over six shapes; the others come close to one of these.
_SOLVERS = {
    "magnitude": _Solver(3.8, 3.0),
    "wanda": _Solver(3.8, 3.0),
    "ria": _Solver(3.8, 4.0),
    "sparsegpt": _Solver(5.3, 1.0),
    "apt": _Solver(5.6, 1.0),
    "apt-joint": _Solver(6.0, 13.0, 1.1),
    "alps": _Solver(10.8, 3.0, 1.5),
    "admm": _Solver(4.1, 10.0),
    "d2prune": _Solver(5.4, 1.0),
}
_OTHER_SOLVER = _Solver(10.8, 13.0, 1.5)


def peak_bytes(recipe: Recipe, facts: ModelFacts, dtype: str, weights_in: WeightsIn) -> int:
    """dtype: that the forwards run in. The facts must hold the layers of a block."""
    per_value = 2 if dtype == "bfloat16" else _FLOAT
    run = _Run(recipe, facts, per_value, weights_in != "memory")
    without_scans = _Run(recipe, facts.model_copy(update={"scan": 0}), per_value, run.from_disk)
    gaps = 0 if weights_in == "disk" else min(_GAPS * without_scans.passing, _MOST_GAPS)
    tokenizer = _PER_TOKEN * (facts.vocab or 0)
    timed = run.decoding if weights_in == "by block" else 0
    return int(_PROCESS + tokenizer + max(timed, run.with_weights + gaps))


def working_bytes(recipe: Recipe, facts: ModelFacts, dtype: str) -> int:
    """What a run holds beside the model's weights at its peak, the process and its tokenizer left out."""
    run = _Run(recipe, facts, 2 if dtype == "bfloat16" else _FLOAT, False)
    beside = _PROCESS + _PER_TOKEN * (facts.vocab or 0) + run.whole_model
    return int(peak_bytes(recipe, facts, dtype, "memory") - beside)


def border_bytes(recipe: Recipe, facts: ModelFacts, dtype: str) -> int:
    """What waits on disk beside a run from disk: states between the blocks, or what the loss minds of all."""
    run = _Run(recipe, facts, 2 if dtype == "bfloat16" else _FLOAT, False)
    return max(run.borders, run.minded)


def streams_bytes(recipe: Recipe, facts: ModelFacts, dtype: str) -> int:
    """What grows with the calibration set."""
    run = _Run(recipe, facts, 2 if dtype == "bfloat16" else _FLOAT, False)
    return run.streams * max(run.held_before(layer) for layer in facts.layers)


class _Run:
    """The terms, in bytes."""

    def __init__(self, recipe: Recipe, facts: ModelFacts, per_value: int, from_disk: bool):
        self.from_disk = from_disk
        self._recipe = recipe
        self._facts = facts
        self._per_value = per_value
        self._hidden = facts.hidden or 0
        self._vocab = facts.vocab or 0
        self._widest = max(layer.in_features for layer in facts.layers)
        self._tokens = recipe.calibration.samples * recipe.calibration.length
        self._batch = min(self._tokens, max(_TOKENS_PER_BATCH, recipe.calibration.length))
        self.streams = 2 if Statistic.DENSE_STREAM in recipe.method.needs_for(recipe.pattern) else 1
        self._block = sum(layer.weights for layer in facts.layers) * per_value

    @property
    def with_weights(self) -> float:
        """The most that is there at any moment."""
        if not self.from_disk:
            return self.whole_model + self.passing
        rest = self.whole_model - (self._facts.blocks or 0) * self._block
        return self._block + max(rest + max(self.reading, self.evaluating, self.gradients), self.pruning)

    @property
    def decoding(self) -> float:
        """All weights, and the head once more: products in bfloat16 bring it into another order."""
        return self.whole_model + self._vocab * self._hidden * self._per_value * (self._per_value < _FLOAT)

    @property
    def passing(self) -> float:
        """The most that comes and goes."""
        return max(self.reading, self.evaluating, self.gradients, self.pruning)

    @property
    def whole_model(self) -> float:
        return (self._facts.parameters or 0) * self._per_value

    @property
    def borders(self) -> int:
        """States between all blocks, until they have been passed backwards."""
        return (self._facts.blocks or 0) * self._border

    @property
    def minded(self) -> int:
        """What the loss minds of all blocks, until each is pruned."""
        if Statistic.OUTPUT_GRADIENTS not in self._recipe.method.needs_for(self._recipe.pattern):
            return 0
        of_a_block = sum(
            layer.out_features * (1 + min(_METRIC_RANK, max(1, layer.out_features // 3)))
            for layer in self._facts.layers
        )
        return (self._facts.blocks or 0) * of_a_block * _FLOAT

    @property
    def _border(self) -> int:
        if Statistic.OUTPUT_GRADIENTS not in self._recipe.method.needs_for(self._recipe.pattern):
            return 0
        length = self._recipe.calibration.length
        windows = min(self._recipe.calibration.samples, max(1, GRADIENT_TOKENS // length))
        return windows * length * self._hidden * self._per_value

    @property
    def reading(self) -> float:
        """The embedding or a block as it is stored, where that is not the type it is computed in."""
        stored = (self._facts.bytes_on_disk or 0) / max(self._facts.parameters or 0, 1)
        if round(stored) == self._per_value:
            return 0
        return max(self._vocab * self._hidden, self._block / self._per_value) * stored

    @property
    def evaluating(self) -> float:
        """One text after another, so the longest decides."""
        return max(map(self._evaluating, self._recipe.evaluation))

    def _evaluating(self, evaluation: Evaluation) -> float:
        of_a_token = (4 * self._hidden + 3 * self._widest) * self._per_value  # within a block
        inside = max(of_a_token, self._scan)
        states = evaluation.samples * evaluation.length * self._hidden * self._per_value
        rows = min(_LOGITS_BYTES // (_FLOAT * max(1, self._vocab)), evaluation.length)
        logits = rows * self._vocab * (self._per_value + 2 * _FLOAT)
        return states + max(logits, max(_TOKENS_PER_BATCH, evaluation.length) * inside)

    @property
    def gradients(self) -> float:
        """Back through a block: all its activations for a few windows, and S of its layers."""
        if Statistic.OUTPUT_GRADIENTS not in self._recipe.method.needs_for(self._recipe.pattern):
            return 0
        inside = max((8 * self._hidden + 5 * self._widest) * self._per_value, self._scan)
        outer = sum(layer.out_features**2 for layer in self._facts.layers) * _FLOAT
        states = self.streams * self._tokens * self._hidden * self._per_value
        between = 2 * self._border if self.from_disk else self._border + self.borders
        at_once = min(self._batch, max(_BACK_TOKENS, self._recipe.calibration.length))
        return states + between + outer + at_once * inside

    @property
    def pruning(self) -> float:
        twin = (
            self._block
            if Statistic.DENSE_STREAM in self._recipe.method.needs_for(self._recipe.pattern)
            else 0
        )
        minded = 0 if self.from_disk else self.minded
        return (
            twin
            + minded
            + max(
                self.streams * self.held_before(layer)
                + max(self._solving(layer), self._adding_up(layer), self._batch * self._scan)
                for layer in self._facts.layers
            )
        )

    @property
    def _scan(self) -> int:
        """Of one token on its way through a state space mixer; in float32 whatever the run computes in."""
        return self._facts.scan * _FLOAT

    def held_before(self, layer: LayerShape) -> int:
        """What all batches hold that are paused in front of a layer.

        In attention: hidden states, the normed ones, the layer's input and what q, k and v gave before it.
        Behind it: hidden states, residual, the normed ones and the layer's input.
        """
        values = 3 * self._hidden + layer.in_features
        if "attn" in layer.name or "attention" in layer.name:
            before = self._facts.layers[: self._facts.layers.index(layer)]
            values = 2 * self._hidden + layer.in_features + sum(other.out_features for other in before)
        elif (
            distinct_input(layer.name) != layer.name
        ):  # in front of gate and up: the input is the normed state
            values = 3 * self._hidden + layer.out_features
        return self._tokens * values * self._per_value

    def _solving(self, layer: LayerShape) -> float:
        solver = _SOLVERS.get(self._recipe.method.name, _OTHER_SOLVER)
        return _FLOAT * (
            solver.inputs * layer.in_features**2
            + solver.weights * layer.weights
            + solver.outputs * layer.out_features**2
        )

    def _adding_up(self, layer: LayerShape) -> float:
        """Statistics of one batch: its inputs in float32, and how the dense ones differ."""
        copies = (self._per_value < _FLOAT) + 2 * (self.streams - 1)
        return _FLOAT * (copies * self._batch * layer.in_features + 4 * layer.in_features**2)
