"""How much memory a run's worker takes at its peak, from the measures of the model. No torch.

    peak = process + weights + the largest of
           reading:     the largest piece that is mapped while it is converted
           evaluating:  logits of one batch, hidden states of the evaluation set when blocks are on disk
           gradients:   what one batch holds on its way back through a block
           pruning:     hidden states and what the paused forwards hold in front of a layer
                        + the matrices that solving this layer takes

In the pruning mode "memory" the weights are the whole model's, in "disk" those beside the blocks and one block.
Constants are fitted to measured peaks (`python -m benchmarks.memory`; glibc, CPU).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from apt_core.models.facts import ModelFacts
from apt_core.models.shape import LayerShape
from apt_core.rates import distinct_input
from apt_core.recipe import Recipe

WeightsIn = Literal["memory", "disk"]

_PROCESS = 410_000_000  # bytes of a worker that has computed something, before any weight
_FLOAT = 4
_TOKENS_PER_BATCH = 4096  # as in `pipeline` and `perplexity`
_GRADIENT_TOKENS = 4096  # as in `pipeline`
_LOGITS_PER_BATCH = 64_000_000  # as in `perplexity`: tokens x vocabulary of one forward
_LOGITS_ROWS = 512  # as in `perplexity`: positions whose logits exist together when blocks are on disk
# The heap keeps gaps between tensors of up to 32 MB, so not between those of a scan; runs from disk give them back
# (`hardware`).
_GAPS, _MOST_GAPS = 0.45, 200_000_000


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
    "sparsegpt": _Solver(7.1, 1.0),
    "apt": _Solver(7.4, 1.0),
    "apt-joint": _Solver(6.0, 13.0, 1.1),
    "alps": _Solver(10.8, 3.0, 1.5),
    "admm": _Solver(4.1, 10.0),
    "d2prune": _Solver(7.2, 1.0),
}
_OTHER_SOLVER = _Solver(10.8, 13.0, 1.5)


def peak_bytes(recipe: Recipe, facts: ModelFacts, dtype: str, weights_in: WeightsIn) -> int:
    """dtype: that the forwards run in. The facts must hold the layers of a block."""
    per_value = 2 if dtype == "bfloat16" else _FLOAT
    run = _Run(recipe, facts, per_value, weights_in == "disk")
    small = _Run(recipe, facts.model_copy(update={"scan": 0}), per_value, run.from_disk)
    gaps = 0 if run.from_disk else min(_GAPS * small.passing, _MOST_GAPS)
    return int(_PROCESS + run.weights + run.passing + gaps)


def working_bytes(recipe: Recipe, facts: ModelFacts, dtype: str) -> int:
    """What a run holds beside the model's weights at its peak, the process itself left out."""
    run = _Run(recipe, facts, 2 if dtype == "bfloat16" else _FLOAT, False)
    return int(peak_bytes(recipe, facts, dtype, "memory") - _PROCESS - run.whole_model)


def border_bytes(recipe: Recipe, facts: ModelFacts, dtype: str) -> int:
    """Gradients between all blocks: in memory, or on disk beside the run; 0 where the loss is not asked."""
    return _Run(recipe, facts, 2 if dtype == "bfloat16" else _FLOAT, False).borders


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
        self.streams = 2 if recipe.method.compares_with_dense else 1
        self._block = sum(layer.weights for layer in facts.layers) * per_value

    @property
    def weights(self) -> float:
        if not self.from_disk:
            return self.whole_model + self.borders
        return self.whole_model - (self._facts.blocks or 0) * self._block + self._block

    @property
    def passing(self) -> float:
        """The most that comes and goes."""
        return max(self.reading, self.evaluating, self.gradients, self.pruning)

    @property
    def whole_model(self) -> float:
        return (self._facts.parameters or 0) * self._per_value

    @property
    def borders(self) -> int:
        """Of all blocks, until each is pruned."""
        return (self._facts.blocks or 0) * self._border

    @property
    def _border(self) -> int:
        if not self._recipe.method.asks_the_loss:
            return 0
        length = self._recipe.calibration.length
        windows = min(self._recipe.calibration.samples, max(1, _GRADIENT_TOKENS // length))
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
        evaluation = self._recipe.evaluation
        inside = max(
            (4 * self._hidden + 3 * self._widest) * self._per_value, self._scan
        )  # one token in a block
        if self.from_disk:
            states = evaluation.samples * evaluation.length * self._hidden * self._per_value
            logits = min(_LOGITS_ROWS, evaluation.length) * self._vocab * (self._per_value + 2 * _FLOAT)
            return states + max(logits, max(_TOKENS_PER_BATCH, evaluation.length) * inside)
        batch = max(1, _LOGITS_PER_BATCH // max(1, evaluation.length * self._vocab))
        tokens = min(batch, evaluation.samples) * evaluation.length
        return tokens * max(2 * self._vocab * self._per_value, inside)

    @property
    def gradients(self) -> float:
        """Back through the twin of a block for the first time: all its activations for one batch."""
        if not self._recipe.method.asks_the_loss:
            return 0
        inside = max((8 * self._hidden + 5 * self._widest) * self._per_value, self._scan)
        outer = sum(layer.out_features**2 for layer in self._facts.layers) * _FLOAT
        states = self.streams * self._tokens * self._hidden * self._per_value
        return states + self._block + self._border + outer + min(self._batch, _GRADIENT_TOKENS) * inside

    @property
    def pruning(self) -> float:
        twin = self._block if self._recipe.method.compares_with_dense else 0
        return twin + max(
            self.streams * self.held_before(layer)
            + max(self._solving(layer), self._adding_up(layer), self._batch * self._scan)
            for layer in self._facts.layers
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
