"""What a job has to do, stage by stage, counted from the measures of the model. No torch.

The stages are those that a run times itself, and their work is

    load        the weights read
    dense_eval  a pass of the evaluation tokens through blocks and head
    forward     a pass of the calibration tokens through the blocks; another where the dense stream is carried
    statistics  tokens x in^2 for each distinct input (half of a product, since G is symmetric), and twice that more
                where the drift from the dense stream is added up
    gradients   of some tokens: a pass forwards, one more and back (2 + 2 + 4 FLOPs per weight), the head forwards and
                back, tokens x out^2 for S of each layer, and a product for its Fisher diagonal
    solve       what the method's components say of each layer, and once per distinct input the factorisations of the
                statistics that they need
    check       the relative error of each layer: four products with G
    save        the weights written
    pruned_eval as dense_eval
    search      passes of the held-out tokens for each candidate, and its compensation (`judging`), as far as the
                minutes go
    answers     the tokens of two answers to the standard question, one after the other
    measure     decoding, which reads all weights for every token; where both models take turns a prompt too, and the
                weights are read anew for each turn

A pass of one token through one block is 2 FLOPs per weight, 4 x length x hidden FLOPs of attention, and the
activations beside: each layer's inputs and outputs several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from apt_core.base.cost import FLOAT, Cost, passes, total
from apt_core.base.limits import (
    SIZED_BYTES,
    TIMED_IN_TURNS_BYTES,
    compared_windows,
    gradient_windows,
    rows_of_logits,
    windows_per_batch,
)
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.estimate.asked import Walk, carries_dense_stream, looks_at_dense_inputs, takes_gradients
from apt_core.estimate.judging import inverting, solving_of
from apt_core.estimate.machine import Machine
from apt_core.estimate.training import points_of, step_cost
from apt_core.events.asking import STANDARD_QUESTION
from apt_core.jobs import Calibration, Evaluation, Job, Prune, Recover, Search, Shrink
from apt_core.jobs.kinds import measures, prunes, searches, shrinks, trains
from apt_core.methods import Method
from apt_core.methods.structured.base import THERE_AND_BACK
from apt_core.models.catalogue.facts import ModelFacts

_ACTIVATIONS = 10  # times that a block's inputs and outputs are read or written
_BACK = 8  # times as many on the way back
_HALTED = (
    1.2  # times as long as a pass that is not halted at every layer, whose tensors are used again at once
)
_OTHER_INPUTS = 1.3  # times as long as adding up the same inputs again and again
_HEAD_CALLS = 600  # of the model without its blocks, called once
_MIRRORING = 4  # passes over a Gram matrix of which only half was added up
_LAYER_CALLS = 1000  # of hooks, counts and events around one layer
_SCANS_BACK = (
    3  # times the work of a scan forwards: twice forwards, and back by the recurrence read the other way
)
_LOGIT_PASSES = 5  # over float32 logits: softmax and the loss
_CONVERTED = 450  # bytes moved for a weight of a GGUF that is dequantised
_CHECKED = 450  # bytes moved for a weight whose removal is counted, rounded and written back
_SIZING = 650  # bytes moved for a byte that is compressed, and whose zeros are counted
_COMPARING = 220  # bytes moved for a logit of both models, until their divergence is known
_DECODED = 2 * 69  # tokens of both measurements of speed
_MOST_DECODING = 2.2  # seconds of both together
_TURNS = 2 * 4  # of both models, where they take turns
_TURN_TOKENS = 8  # written in a turn
_TURN_PROMPTS = 2  # read in it, of 16 and of 64 tokens
_MOST_IN_TURNS = 8.0  # seconds of all turns together


class Stage(NamedTuple):
    """One stage of a run: work, and what only this stage does."""

    cost: Cost = Cost()
    scanned: float = 0.0  # numbers held in state space mixers, of all tokens
    read: float = 0.0  # bytes
    written: float = 0.0  # bytes
    starts: float = 0.0  # processes
    opens: float = 0.0  # times that the libraries' model classes are imported
    most: float | None = None  # seconds after which the stage ends

    def times(self, share: float) -> Stage:
        """The same work on so much of the model."""
        return self._replace(
            cost=self.cost.times(share),
            scanned=share * self.scanned,
            read=share * self.read,
            written=share * self.written,
        )

    def seconds(self, machine: Machine, dtype: str) -> float:
        spent = (
            machine.seconds(self.cost, dtype)
            + self.scanned / machine.scan
            + self.read / machine.disk_read
            + self.written / machine.disk_write
            + self.starts * machine.start
            + self.opens * machine.open
        )
        return spent if self.most is None else min(spent, self.most)


def stages_of(
    job: Job, facts: ModelFacts, dtype: str, whole: bool = True, walk: Walk = "halting"
) -> dict[str, Stage]:
    """Stage -> its work, for a job of any kind.

    whole: can all weights be in memory, so that decoding is timed? walk: of the calibration windows.
    """
    model = _Model(facts, 2 if dtype == "bfloat16" else FLOAT)
    if shrinks(job):
        own = _of_searching(job, facts, model) if searches(job) else _of_shrinking(job, facts, model)
        return {**model.opening(), **own, **model.writing(job, whole)}
    if trains(job):
        return {**_of_training(job, facts, model), **model.writing(job, whole)}
    if not prunes(job):
        return {**model.opening(), **_of_measuring(job, model)}
    return {**model.opening(), **_of_pruning(job, facts, model, walk), **model.writing(job, whole)}


def work_of_allocating(job: Prune, facts: ModelFacts, dtype: str) -> dict[str, Stage]:
    """What the job's allocation asks of the dense model, and nothing of the run behind it."""
    model, layers = _Model(facts, 2 if dtype == "bfloat16" else FLOAT), _Layers(job, facts)
    looked = model.passing(job.calibration, 1) if looks_at_dense_inputs(job) else Stage()
    return {
        **model.opening(),
        "forward": looked,
        "gradients": layers.sensitivities(model),
        "solve": Stage(layers.allocating()),
    }


def _of_measuring(job: Job, model: _Model) -> dict[str, Stage]:
    """Every text; of a rounded model also how far it is from the model as it is."""
    found = {"evaluate": model.evaluating(job.evaluation)}
    if measures(job) and job.rounding.number and job.model.run is None:
        found["dense_eval"] = model.passing_once_more(job.evaluation[0])
        found["divergence"] = model.comparing(job.evaluation[0])
    return found


def _of_training(job: Recover, facts: ModelFacts, model: _Model) -> dict[str, Stage]:
    """Both models are loaded and measured in turn; between that the steps, and now and then the held-out windows."""
    opening, evaluating, read = model.opening(), model.evaluating(job.evaluation), job.training
    step = step_cost(job, facts, model.through_blocks(job.tokens_per_step, read.length))
    held_out = model.through_blocks(read.held_out * read.length, read.length)
    held_out += model.head(read.held_out, read.length)
    tokens = 3 * job.optimiser_steps * job.tokens_per_step
    steps = step.times(job.optimiser_steps) + held_out.times(points_of(job))
    load = opening["load"]
    return {
        **opening,
        "load": load._replace(cost=load.cost.times(2), read=2 * load.read),
        "dense_eval": evaluating,
        "before_eval": evaluating,
        "train": Stage(steps, scanned=tokens * facts.scans),
        "save": Stage(written=model.n_bytes),
        "recovered_eval": evaluating,
        "size": model.sizing(),
    }


def _of_pruning(job: Prune, facts: ModelFacts, model: _Model, walk: Walk) -> dict[str, Stage]:
    evaluating, layers = model.evaluating(job.evaluation), _Layers(job, facts)
    passes = layers.streams + (walk == "two-pass") + looks_at_dense_inputs(job)
    return {
        "dense_eval": evaluating,
        "forward": model.passing(job.calibration, _HALTED * passes),
        "statistics": Stage(layers.statistics()),
        "gradients": layers.sensitivities(model),
        "solve": Stage(layers.solving()),
        "check": Stage(layers.checking()),
        "save": Stage(written=model.n_bytes),
        "pruned_eval": evaluating,
        "divergence": model.comparing(job.evaluation[0]),
        "size": model.sizing(),
    }


def _of_shrinking(job: Shrink, facts: ModelFacts, model: _Model) -> dict[str, Stage]:
    """The smaller model takes less of everything, and as many passes as its structures are looked at."""
    evaluating, left = model.evaluating(job.evaluation), 1 - job.pattern.sparsity
    passes, first = job.method.passes(facts.blocks or 0)
    read = job.calibration
    few = read.model_copy(update={"samples": gradient_windows(read.samples, read.length)})
    return {
        "dense_eval": evaluating,
        "forward": model.passing(read, passes),
        "gradients": model.passing(few, first),
        "save": Stage(written=left * model.n_bytes),
        "pruned_eval": evaluating.times(left),
        "divergence": model.comparing(job.evaluation[0]),
        "size": model.sizing().times(left),
    }


def _of_searching(job: Search, facts: ModelFacts, model: _Model) -> dict[str, Stage]:
    """Gradients, how far blocks turn states, and what compensated candidates need; a pass for each candidate, until
    the minutes are over; then the best candidate and the start are compensated and measured."""
    evaluating, read, evolution = model.evaluating(job.evaluation), job.calibration, job.evolution
    few = read.model_copy(update={"samples": gradient_windows(read.samples, read.length)})
    tried = 2 + evolution.population + job.generations * (evolution.mutations + evolution.crossings)
    one = model.evaluating((Evaluation(text=read.text, samples=read.held_out, length=read.length),))
    one = one._replace(cost=one.cost + solving_of(job, facts))
    gradients = THERE_AND_BACK if evolution.takes_gradients else 0
    looks = 1 + (evolution.judge == "compensated")
    before = model.passing(few, gradients + looks)
    inverted = inverting(job, facts, few.samples * few.length)
    return {
        "dense_eval": evaluating,
        "gradients": before._replace(cost=before.cost + inverted),
        "search": one.times(tried)._replace(most=60 * job.minutes),
        "forward": model.passing(read, 2),
        "save": Stage(written=2 * (1 + job.keep) * model.n_bytes),
        "pruned_eval": evaluating.times(job.keep),
        "start_eval": evaluating.times(job.keep),
        "divergence": model.comparing(job.evaluation[0]),
        "size": model.sizing().times(job.keep),
    }


class _Model:
    """The work of passes through a model."""

    def __init__(self, facts: ModelFacts, per_value: int):
        self.per_value = per_value
        self.hidden, self.vocab = facts.hidden or 0, facts.vocab or 0
        self.blocks = facts.blocks or 0
        self.n_bytes = facts.bytes_on_disk or 2 * (facts.parameters or 0)
        self._facts = facts
        self._repeats = repeats(facts)

    def opening(self) -> dict[str, Stage]:
        parameters = self._facts.parameters or 0
        converts = self._facts.source == "package index" and not self._facts.cached
        return {
            "start": Stage(starts=1),
            "convert": Stage(Cost(moved=_CONVERTED * parameters) if converts else Cost()),
            "load": Stage(
                Cost(moved=(self.n_bytes + self.per_value * parameters)), opens=1, read=self.n_bytes
            ),
        }

    def through_blocks(self, tokens: float, length: int) -> Cost:
        """One pass forwards."""
        of_a_token = self._repeats * sum(
            layer.in_features + layer.out_features for layer in self._facts.layers
        )
        attention = 4.0 * length * self.hidden * self.blocks if self._attends else 0.0
        batch = windows_per_batch(max(1, round(tokens / length)), length) * length
        return Cost(
            products=tokens * attention,
            forward_products=tokens * 2.0 * (self._facts.prunable or 0),
            moved=tokens * _ACTIVATIONS * self.per_value * of_a_token,
            blocks=self.blocks * -(-tokens // batch),
        )

    @property
    def _attends(self) -> bool:
        return any(layer.in_attention for layer in self._facts.layers)

    def passing(self, calibration: Calibration, passes: float) -> Stage:
        tokens = passes * calibration.samples * calibration.length
        return Stage(self.through_blocks(tokens, calibration.length), scanned=tokens * self._facts.scans)

    def head(self, windows: int, length: int) -> Cost:
        """Logits of every position, a few at a time, and the loss."""
        logits = windows * length * self.vocab
        return Cost(
            forward_products=2.0 * logits * self.hidden,
            moved=logits * (2 * self.per_value + _LOGIT_PASSES * FLOAT),
            calls=_HEAD_CALLS * windows * -(-length // rows_of_logits(self.vocab)),
        )

    def evaluating(self, wanted: tuple[Evaluation, ...]) -> Stage:
        cost, tokens = Cost(), 0.0
        for one in wanted:
            tokens += one.samples * one.length
            cost += self.through_blocks(one.samples * one.length, one.length)
            cost += self.head(one.samples, one.length)
        return Stage(cost, scanned=tokens * self._facts.scans)

    def passing_once_more(self, wanted: Evaluation) -> Stage:
        """The windows that two models are compared on, through the blocks of one of them."""
        tokens = compared_windows(wanted.samples, wanted.length) * wanted.length
        return Stage(self.through_blocks(tokens, wanted.length), scanned=tokens * self._facts.scans)

    def comparing(self, wanted: Evaluation) -> Stage:
        """The head's answer to the states of both models, and how far apart they are."""
        windows = compared_windows(wanted.samples, wanted.length)
        logits = windows * wanted.length * self.vocab
        return Stage(self.head(windows, wanted.length).times(2) + Cost(moved=_COMPARING * logits))

    def sizing(self) -> Stage:
        """The pruned folder, compressed and packed to see how far it shrinks; the dense one's sizes are kept."""
        return Stage(Cost(moved=_SIZING * self.n_bytes)) if self.n_bytes <= SIZED_BYTES else Stage()

    def writing(self, job: Job, whole: bool) -> dict[str, Stage]:
        """Both answers to the standard question, where they are wanted, and both measurements of speed; not where the
        blocks do not all fit into memory. An answer that ends early takes less."""
        token = Cost(read_once=self.per_value * (self._facts.parameters or 0), blocks=self.blocks)
        tokens = 2 * STANDARD_QUESTION.max_tokens if whole and job.asks_both else 0
        return {"answers": Stage(token.times(tokens)), "measure": self.timing(whole)}

    def timing(self, whole: bool) -> Stage:
        """Decoding before and after, or in turns at the end."""
        if not whole:
            return Stage()
        weights = self.per_value * (self._facts.parameters or 0)
        token = Cost(read_once=weights, blocks=self.blocks)
        if self.n_bytes > TIMED_IN_TURNS_BYTES:
            return Stage(token.times(_DECODED), most=_MOST_DECODING)
        prompt = Cost(read_by_few=self.per_value * (self._facts.prunable or 0), blocks=self.blocks)
        turn = token.times(_TURN_TOKENS) + prompt.times(_TURN_PROMPTS)
        placed = _TURNS * self.n_bytes  # the other model's weights take its place
        return Stage(turn.times(_TURNS), read=placed, most=_MOST_IN_TURNS)


class _Layers:
    """The work on all prunable layers, one after the other."""

    def __init__(self, job: Prune, facts: ModelFacts):
        self._job = job
        self._facts, self._layers = facts, facts.layers
        self._repeats = repeats(facts)
        self._tokens = job.calibration.samples * job.calibration.length
        self.inputs = input_widths(facts.layers)
        self.streams = 2 if carries_dense_stream(job) else 1

    def statistics(self) -> Cost:
        """One product and its half are those of the drift, which is not symmetric."""
        grams = 3 if self.streams == 2 else 1
        squares = sum(width**2 for width in self.inputs)
        return Cost(grams=_OTHER_INPUTS * self._tokens * squares * grams).times(self._repeats)

    def sensitivities(self, model: _Model) -> Stage:
        if not takes_gradients(self._job):
            return Stage()
        length = self._job.calibration.length
        windows = gradient_windows(self._job.calibration.samples, length)
        tokens, forwards = windows * length, model.through_blocks(windows * length, length)
        back = forwards._replace(moved=_BACK * forwards.moved)
        sums = (
            sum(layer.out_features**2 + 2 * layer.weights for layer in self._layers) * self._repeats * tokens
        )
        cost = forwards.times(2) + back.times(2) + model.head(windows, length).times(3)
        scanned = _SCANS_BACK * tokens * self._facts.scans
        return Stage(cost + Cost(grams=float(sums)), scanned=scanned)

    def solving(self) -> Cost:
        job = self._job
        return solving(job.method, self._layers, self._tokens, job.pattern).times(self._repeats)

    def allocating(self) -> Cost:
        job = self._job
        costs = (job.method.allocation.cost(layer, self._tokens, job.pattern) for layer in self._layers)
        return total(costs).times(self._repeats)

    def checking(self) -> Cost:
        """tr(W G W^T) and tr(D G D^T)."""
        cost = Cost()
        for layer in self._layers:
            products = 4.0 * layer.weights * layer.in_features
            cost += Cost(products=products, moved=_CHECKED * layer.weights, calls=_LAYER_CALLS)
        return cost.times(self._repeats)


def solving(
    method: Method, layers: Sequence[LayerShape], tokens: int, pattern: Unstructured | SemiStructured
) -> Cost:
    """One block: what the components say of each layer, and each factorisation once per distinct input."""
    cost = total(method.cost(layer, tokens, pattern) for layer in layers)
    needs = method.needs_for(pattern)
    for width in input_widths(layers):
        cost += total(statistic.cost(width) for statistic in needs) + Cost(moved=passes(width**2, _MIRRORING))
    return cost


def input_widths(layers: Sequence[LayerShape]) -> list[int]:
    """Of the distinct inputs of one block: q, k and v share theirs."""
    return list({layer.input: layer.in_features for layer in layers}.values())


def repeats(facts: ModelFacts) -> float:
    """How many blocks like the one whose layers are known: fewer than there are where blocks differ."""
    return (facts.prunable or 0) / max(1, sum(layer.weights for layer in facts.layers))
