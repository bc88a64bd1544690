"""What training takes: its own stages and its own memory, from what the method declares. No torch.

a step  = tokens x the products that the method says for one, attention and activations forwards and back
memory  = weights in float32 (twice where the dense model is compared with) + trained numbers with gradient and two
          moments + what the method holds + activations of one step + some logits
"""

from __future__ import annotations

import math

from apt_core.base.cost import FLOAT, Cost
from apt_core.jobs import Recover
from apt_core.methods.recovery.base import Sizes, TrainingWork
from apt_core.models.catalogue.facts import ModelFacts

_ACTIVATIONS = 1.25  # times a layer's inputs and outputs that wait for the way back
_LOGITS = 3  # copies in float32: themselves, their softmax, and its gradient
_TRAINED = 16  # bytes of a trained number: itself, its gradient, two moments
_STATE = 12  # bytes of it on disk


def work_of(job: Recover, facts: ModelFacts) -> TrainingWork:
    """As the method declares it."""
    layers, blocks = facts.layers, facts.blocks or 1
    weights = sum(layer.weights for layer in layers)
    alike = max(
        1, round((facts.prunable or 0) / max(1, weights))
    )  # blocks like the one whose layers are known
    head = (facts.vocab or 0) * (facts.hidden or 0)
    return job.method.work(Sizes(layers, min(alike, blocks), facts.prunable or 0, head))


def step_cost(job: Recover, facts: ModelFacts, through_blocks: Cost) -> Cost:
    """One step. through_blocks: its windows forwards through the blocks."""
    tokens, work = job.tokens_per_step, work_of(job, facts)
    forwards = through_blocks._replace(
        forward_products=0.0
    )  # attention and activations; products are the method's
    logits = tokens * (facts.vocab or 0) * FLOAT * _LOGITS
    moved = forwards.moved * 3 + logits + 3.0 * _TRAINED * work.trained + work.held
    return Cost(
        products=forwards.products * 3,
        forward_products=tokens * work.products,
        moved=moved,
        calls=3 * forwards.calls,
    )


def points_of(job: Recover) -> int:
    """At how many steps the held-out windows are measured."""
    return min(60, math.ceil(job.optimiser_steps * job.training.batch / job.training.held_out)) + 2


def training_bytes(job: Recover, facts: ModelFacts) -> float:
    """Beside the process and its tokenizer."""
    work, parameters = work_of(job, facts), facts.parameters or 0
    models = 2 if job.method.needs_dense else 1
    inside = sum(layer.in_features + layer.out_features for layer in facts.layers) * (facts.blocks or 0)
    activations = job.tokens_per_step * inside * FLOAT * _ACTIVATIONS
    logits = job.tokens_per_step * (facts.vocab or 0) * FLOAT * _LOGITS
    return models * FLOAT * parameters + _TRAINED * work.trained + work.held + activations + logits


def state_bytes(job: Recover, facts: ModelFacts) -> int:
    """What is kept of it while it runs, twice while it is rewritten."""
    return 2 * _STATE * work_of(job, facts).trained
