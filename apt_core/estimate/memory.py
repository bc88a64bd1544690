"""How much memory a job's worker takes at its peak, from the measures of the model. No torch.

    peak = process + tokenizer + the largest of
           reading:     weights + the largest piece that is mapped while it is converted
           evaluating:  weights + hidden states of the evaluation set, and a block's activations or some logits
           sizing:      weights + the largest tensor as it is stored, and which of it is zero
           gradients:   weights + what a few windows hold on their way back through a block
                        + the states between all blocks
           pruning:     weights + hidden states and what is held in front of a layer
                        + Gram matrix, weight, and what the method's components say that they hold
                        + the loss's sensitivities to the outputs of all blocks

With all blocks in memory the weights are the whole model's, otherwise those beside the blocks and one block, and while
blocks are pruned that block alone; what is kept of all blocks is on disk as well then. Where all would fit, they are
there together while decoding is timed. With all in memory those of a small dense model come beside them for that.

In front of a layer are held, by the two walks of `passes`:
    halting:   every window's paused forward, which is the most with a long calibration set
    two-pass:  the hidden states alone, but the Gram matrices of all inputs of a block

What the process holds is measured with the machine; constants are fitted to measured peaks (`python -m
benchmarks.memory`; glibc, CPU).
"""

from __future__ import annotations

from typing import Literal

from apt_core.base.cost import FLOAT
from apt_core.base.limits import (
    SIZED_BYTES,
    TIMED_IN_TURNS_BYTES,
    TOKENS_BACK_AT_ONCE,
    TOKENS_PER_BATCH,
    gradient_windows,
    metric_rank,
    rows_of_logits,
)
from apt_core.base.shapes import LayerShape
from apt_core.estimate.asked import Walk, carries_dense_stream, takes_gradients
from apt_core.estimate.judging import inverses_bytes
from apt_core.estimate.machine import this_process
from apt_core.estimate.training import training_bytes
from apt_core.jobs import Job, Prune, Search, Shrink
from apt_core.jobs.kinds import makes_a_model, prunes, searches, shrinks, trains
from apt_core.methods.component import Statistic
from apt_core.models.catalogue.facts import ModelFacts

# Of the decoder blocks: all in memory; one at a time, though all would fit; one at a time because they would not.
WeightsIn = Literal["memory", "by block", "disk"]

_PER_TOKEN = 1_200  # bytes of a tokenizer per token it knows: 950 measured for SmolLM2, 1,240 for Gemma
# The heap keeps gaps between tensors of up to 32 MB, so not between those of a scan; runs from disk give them back
# (`hardware`).
_WORKER = (
    80_000_000  # bytes beside the libraries: a run of the smallest models holds 60 to 100 MB more than these
)
_GAPS, _MOST_GAPS = 0.25, 200_000_000
_FLAGS = 2  # bytes for each weight of a tensor whose zeros are counted
_MIRRORED = 3  # matrices as large as the Gram matrix, beside it, while its lower half is filled
# Matrices [in, in] that stay with the statistics of an input once they are factorised: U; the scaled matrix and its
# eigenvectors.
_KEPT = {Statistic.INVERSE_FACTOR: 1, Statistic.SPECTRUM: 2}


def peak_bytes(job: Job, facts: ModelFacts, dtype: str, weights_in: WeightsIn, walk: Walk = "halting") -> int:
    """dtype: that the forwards run in. The facts must hold the layers of a block."""
    per_value = 2 if dtype == "bfloat16" else FLOAT
    run = _Run(job, facts, per_value, weights_in != "memory", walk)
    without_scans = _Run(job, facts.model_copy(update={"scan": 0}), per_value, run.from_disk, walk)
    gaps = 0 if weights_in == "disk" else min(_GAPS * without_scans.passing, _MOST_GAPS)
    beside = this_process() + _WORKER + _PER_TOKEN * (facts.vocab or 0)
    if trains(job):
        return int(beside + max(training_bytes(job, facts), run.with_weights + gaps))
    timed = (
        {"by block": run.decoding, "memory": run.both_models, "disk": 0}[weights_in]
        if makes_a_model(job)
        else 0
    )
    return int(beside + max(timed, run.sizing, run.with_weights + gaps))


def walk_for(job: Job, facts: ModelFacts, dtype: str, weights_in: WeightsIn, free: int) -> Walk:
    """How the windows go through a block: halting, which takes half the forwards, unless only two passes fit."""
    if peak_bytes(job, facts, dtype, weights_in, "halting") <= free:
        return "halting"
    two = peak_bytes(job, facts, dtype, weights_in, "two-pass")
    return "two-pass" if two < peak_bytes(job, facts, dtype, weights_in, "halting") else "halting"


def working_bytes(job: Job, facts: ModelFacts, dtype: str) -> int:
    """What a run holds beside the model's weights at its peak, the process and its tokenizer left out."""
    run = _Run(job, facts, 2 if dtype == "bfloat16" else FLOAT, False)
    beside = this_process() + _WORKER + _PER_TOKEN * (facts.vocab or 0) + run.whole_model
    return int(peak_bytes(job, facts, dtype, "memory") - beside)


def border_bytes(job: Job, facts: ModelFacts, dtype: str) -> int:
    """What waits on disk beside a run from disk: states between the blocks, or sensitivities of all."""
    run = _Run(job, facts, 2 if dtype == "bfloat16" else FLOAT, False)
    return max(run.borders, run.sensitivities)


def streams_bytes(job: Job, facts: ModelFacts, dtype: str) -> int:
    """What grows with the calibration set."""
    run = _Run(job, facts, 2 if dtype == "bfloat16" else FLOAT, False)
    return max(run.held_before(layer) for layer in facts.layers) if prunes(job) else 0


class _Run:
    """The terms, in bytes."""

    def __init__(self, job: Job, facts: ModelFacts, per_value: int, from_disk: bool, walk: Walk = "halting"):
        self.from_disk = from_disk
        self._job = job
        self._facts = facts
        self._per_value = per_value
        self._walk = walk
        self._hidden = facts.hidden or 0
        self._vocab = facts.vocab or 0
        self._widest = max(layer.in_features for layer in facts.layers)
        self._gradients = takes_gradients(job)
        self.streams = 2 if carries_dense_stream(job) else 1
        self._prune: Prune | None = job if prunes(job) else None
        self._shrink: Shrink | Search | None = job if shrinks(job) else None
        read = makes_a_model(job) and not (shrinks(job) and not job.method.reads_text)
        self._samples = job.calibration.samples if makes_a_model(job) and read else 0
        self._length = job.calibration.length if makes_a_model(job) and read else 0
        self._tokens = self._samples * self._length
        self._batch = min(self._tokens, max(TOKENS_PER_BATCH, self._length))
        self._block = sum(layer.weights for layer in facts.layers) * per_value

    @property
    def with_weights(self) -> float:
        """The peak."""
        if not self.from_disk:
            return self.whole_model + self.passing
        rest = self.whole_model - (self._facts.blocks or 0) * self._block
        return self._block + max(
            rest + max(self.reading, self.evaluating, self.gradients, self.shrinking), self.pruning
        )

    @property
    def decoding(self) -> float:
        """All weights; what a few tokens need beside them is next to nothing."""
        return self.whole_model

    @property
    def both_models(self) -> float:
        """Dense and pruned model together while they take turns, where their weights are not read anew each time."""
        n_bytes = self._facts.bytes_on_disk or self.whole_model
        return 2 * self.decoding if n_bytes <= TIMED_IN_TURNS_BYTES else 0

    @property
    def sizing(self) -> float:
        """The largest tensor of the checkpoint, mapped, and which of its weights are zero, beside the model where all
        of it is in memory."""
        largest = self._vocab * self._hidden
        stored = (self._facts.bytes_on_disk or 0) / max(self._facts.parameters or 0, 1)
        if (self._prune is None and self._shrink is None) or (self._facts.bytes_on_disk or 0) > SIZED_BYTES:
            return 0
        return (0 if self.from_disk else self.whole_model) + largest * (stored + _FLAGS)

    @property
    def passing(self) -> float:
        """The peak beside the model."""
        return max(self.reading, self.evaluating, self.gradients, self.pruning, self.shrinking)

    @property
    def whole_model(self) -> float:
        return (self._facts.parameters or 0) * self._per_value

    @property
    def borders(self) -> int:
        """States between all blocks, until they have been passed backwards."""
        return (self._facts.blocks or 0) * self._border

    @property
    def sensitivities(self) -> int:
        """Of the loss, to the outputs of all layers, until each is pruned."""
        if not self._gradients:
            return 0
        of_a_block = sum(
            layer.out_features * (1 + metric_rank(layer.out_features)) for layer in self._facts.layers
        )
        return (self._facts.blocks or 0) * of_a_block * FLOAT

    @property
    def _border(self) -> int:
        if not self._gradients:
            return 0
        windows = gradient_windows(self._samples, self._length)
        return windows * self._length * self._hidden * self._per_value

    @property
    def reading(self) -> float:
        """The embedding or a block as it is stored, where that is not the type it is computed in."""
        stored = (self._facts.bytes_on_disk or 0) / max(self._facts.parameters or 0, 1)
        if round(stored) == self._per_value:
            return 0
        return max(self._vocab * self._hidden, self._block / self._per_value) * stored

    @property
    def evaluating(self) -> float:
        found = [self._evaluating(one.samples, one.length) for one in self._job.evaluation]
        if searches(self._job):  # the held-out windows in front of the first block, and on their way
            read = self._job.calibration
            inverses = 0 if self.from_disk else inverses_bytes(self._job, self._facts)
            found.append(inverses + self._evaluating(2 * read.held_out, read.length))
        return max(found)

    def _evaluating(self, samples: int, length: int) -> float:
        of_a_token = (4 * self._hidden + 3 * self._widest) * self._per_value  # within a block
        inside = max(of_a_token, self._scan)
        states = samples * length * self._hidden * self._per_value
        logits = min(rows_of_logits(self._vocab), length) * self._vocab * (self._per_value + 2 * FLOAT)
        return states + max(logits, max(TOKENS_PER_BATCH, length) * inside)

    @property
    def gradients(self) -> float:
        """Back through a block: all its activations for a few windows, S of its layers, and for the largest of them
        what its Fisher diagonal is sampled from."""
        if not self._gradients:
            return 0
        inside = max((8 * self._hidden + 5 * self._widest) * self._per_value, self._scan)
        outer = sum(layer.out_features**2 for layer in self._facts.layers) * FLOAT
        outer += max((layer.weights for layer in self._facts.layers), default=0) * FLOAT
        states = self.streams * self._tokens * self._hidden * self._per_value
        between = 2 * self._border if self.from_disk else self._border + self.borders
        at_once = min(self._batch, max(TOKENS_BACK_AT_ONCE, self._length))
        return states + between + outer + at_once * inside

    @property
    def shrinking(self) -> float:
        """Hidden states before and behind, the Gram matrix of the widest input and what solves for it; with gradients
        of the weights those of a block, their squares, and the states between all blocks."""
        if self._shrink is None or not self._samples:
            return 0
        states = 2 * self._tokens * self._hidden * self._per_value
        inside = self._batch * (4 * self._hidden + 3 * self._widest) * self._per_value
        solving = 4 * FLOAT * self._widest**2
        if not self._shrink.method.takes_gradients:
            return states + inside + solving
        windows = gradient_windows(self._samples, self._length)
        border = windows * self._length * self._hidden * self._per_value
        between = border * (2 if self.from_disk else 1 + (self._facts.blocks or 0))
        of_weights = 3 * FLOAT * self._block / self._per_value
        back = self._length * (8 * self._hidden + 5 * self._widest) * self._per_value
        return states + between + max(of_weights + back, solving + inside)

    @property
    def pruning(self) -> float:
        if self._prune is None:
            return 0
        twin = self._block if self.streams == 2 else 0
        waiting = 0 if self.from_disk else self.sensitivities
        return (
            twin
            + waiting
            + self._grams
            + max(
                self.held_before(layer)
                + max(self._solving(layer, self._prune), self._adding_up(layer), self._batch * self._scan)
                for layer in self._facts.layers
            )
        )

    @property
    def _grams(self) -> int:
        """Of all inputs of a block, where they are collected before any of its layers is pruned."""
        if self._walk == "halting":
            return 0
        widths = {layer.input: layer.in_features for layer in self._facts.layers}
        return self.streams * FLOAT * sum(width**2 for width in widths.values())

    @property
    def _scan(self) -> int:
        """Of one token on its way through a state space mixer; in float32 whatever the run computes in."""
        return self._facts.scan * FLOAT

    def held_before(self, layer: LayerShape) -> int:
        """What all windows hold in front of a layer, the dense model's included where they are carried.

        Paused in attention: hidden states, the normed ones, the layer's input and what q, k and v gave before it.
        Behind it: hidden states, residual, the normed ones and the layer's input. Not paused: the hidden states, and
        one batch of windows inside a block.
        """
        if self._walk == "two-pass":
            inside = self._batch * (4 * self._hidden + 3 * self._widest)
            return (self.streams * self._tokens * self._hidden + inside) * self._per_value
        values = 3 * self._hidden + layer.in_features
        if layer.in_attention:
            before = self._facts.layers[: self._facts.layers.index(layer)]
            given = sum(other.out_features for other in before if other.in_attention)
            values = 2 * self._hidden + layer.in_features + given
        elif self._shares_input(layer):  # in front of gate and up: the input is the normed state
            values = 3 * self._hidden + layer.out_features
        return self.streams * self._tokens * values * self._per_value

    def _shares_input(self, layer: LayerShape) -> bool:
        return any(other.input == layer.input for other in self._facts.layers if other is not layer)

    def _solving(self, layer: LayerShape, job: Prune) -> float:
        """Weight, Gram matrix (and drift), then what is factorised of it, then what the components hold beside them."""
        gram = FLOAT * layer.in_features**2
        needs = job.method.needs_for(job.pattern)
        kept = gram * sum(_KEPT.get(statistic, 0) for statistic in needs)
        factorising = max((statistic.cost(layer.in_features).peak for statistic in needs), default=0)
        components = job.method.cost(layer, self._tokens, job.pattern).peak
        return FLOAT * layer.weights + self.streams * gram + max(factorising, kept + components)

    def _adding_up(self, layer: LayerShape) -> float:
        """Statistics of one batch: its inputs in float32, and how the dense ones differ."""
        copies = (self._per_value < FLOAT) + 2 * (self.streams - 1)
        weights = FLOAT * layer.weights
        gram = FLOAT * layer.in_features**2
        return FLOAT * copies * self._batch * layer.in_features + (1 + _MIRRORED) * gram + weights
