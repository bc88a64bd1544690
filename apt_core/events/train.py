"""Events of training: its start, and the points of its curve. No torch."""

from __future__ import annotations

from typing import Literal

from apt_core.base.values import Frozen


class TrainingBegan(Frozen):
    """What is trained, on what. A run that goes on from another's state begins at a later step."""

    kind: Literal["training_began"] = "training_began"
    step: int  # that were done before: 0, or where the state was kept
    steps: int  # at most
    warm_up: int = 0  # of these, while the learning rate rises
    trained: int  # numbers that the optimiser moves
    windows: int  # that are trained on
    held_out: int  # windows whose loss is the curve
    tokens_per_step: int
    model_parameters: int  # of the dense model, zeros counted
    sparsity: float  # of the pruned layers
    dense_loss: float | None = (
        None  # of the dense model on the held-out windows; None where it was not to be had
    )


class Trained(Frozen):
    """Some steps of training: a point of the loss curve."""

    kind: Literal["trained"] = "trained"
    step: int
    tokens: int  # read until here
    loss: float | None = (
        None  # mean training loss of the steps since the last point; None before the first step
    )
    held_out: float  # mean next-token loss in nats on windows that are never trained on
    learning_rate: float
    seconds: float  # of training until here, measuring left out
