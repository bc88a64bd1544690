"""Recover a pruned model: dense loss -> perplexity before -> train -> merge and save -> perplexity after.

What is trained and how it is merged is the method's (`methods.recovery`); every zero of the pruned layers is a zero in
the end, which is checked. Each step yields, so cancelling is felt within one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Generator, Iterator
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from apt_core.base import hardware
from apt_core.base.errors import BadInput, PruneError, RunFailed
from apt_core.base.hardware import choose_device
from apt_core.base.out_of_room import is_out_of_memory
from apt_core.events import Event, Finished, Progress, Subject, Trained, TrainingBegan, Warned
from apt_core.execute import training_state
from apt_core.execute.context import Context
from apt_core.execute.kept import TRAINING
from apt_core.execute.measuring import both_answers, dense_answer, measured
from apt_core.execute.opening import (
    Opened,
    describe,
    evaluation_windows,
    open_whole,
    parameters_of,
    prunable_of,
    training_windows,
)
from apt_core.execute.speeds import speeds_of_two, timed_in_turns
from apt_core.execute.training_state import CANNOT_BE_KEPT, TrainingState
from apt_core.families import Layer
from apt_core.jobs import Recover
from apt_core.measure.dense_cache import known_perplexity_events
from apt_core.measure.generate import Alone
from apt_core.measure.perplexity import perplexity_events
from apt_core.measure.power_law import expected_fall
from apt_core.methods.recovery.base import Attached, next_token_loss
from apt_core.models.checkpoint.whole import save_checkpoint
from apt_core.passes.training import Plan, Trainer, mean_loss

_MOST_POINTS = 60  # of a curve
_KEEP_SECONDS = 60.0  # between two kept states
_KEEP_STEPS = 50


class Dense(NamedTuple):
    """loss: on the held-out windows. answer: to the standard question. model: where the method compares with it."""

    loss: float | None
    parameters: int | None
    folder: Path | None
    answer: Alone | None = None
    model: Any = None


class Texts(NamedTuple):
    evaluation: list[Tensor]
    trained: Tensor
    held_out: Tensor


def run(job: Recover, context: Context) -> Generator[Event, None, None]:
    """Recover as the job says, yielding an event for everything that happens.

    Closing the generator between two steps keeps the state of the training.
    """
    clock, device = context.clock, choose_device(context.device)
    state = _recalled(job, context)
    dense = yield from _of_dense(job, context, device)
    with clock("load"):
        opened = yield from open_whole(job.model, job, context, device)
        texts = yield from _texts(job, context, opened)
    yield describe(job, context, opened, torch.float32)
    yield from _evaluate(job, context, opened, texts, "before")
    kept = [layer.matrix != 0 for layer in opened.layers]
    torch.manual_seed(job.seed)
    attached = job.method.attach(opened.model, opened.layers)
    if attached.note:
        yield Warned(message=attached.note)
    training = _Training(job, context, opened, texts, attached, dense, kept)
    with clock("train"):
        yield from training.run(state)
    checkpoint = yield from _merge(context, opened, attached, kept)
    yield from _evaluate(job, context, opened, texts, "recovered")
    yield from both_answers(context, opened, dense.answer, "recovered")
    training_state.forget(context.folder)
    dense_folder = dense.folder
    del training, attached, dense  # their memory is for the dense model's turns
    yield from _compared(context, dense_folder, opened, checkpoint)
    removed = sum(int((layer.matrix == 0).sum()) for layer in opened.layers)
    yield Finished(
        sparsity=removed / prunable_of(opened.layers),
        parameters=parameters_of(opened.model),
        removed=removed,
        seconds=clock.rounded(),
        spared=clock.spared,
        peak_rss_bytes=hardware.peak_rss_bytes(),
        checkpoint=str(checkpoint),
    )


def _of_dense(job: Recover, context: Context, device: str) -> Generator[Event, None, Dense]:
    """The dense model on the same windows; a method that does not compare with it does without, where it is gone."""
    assert job.model.run is not None
    try:
        reference = context.dense_of(job.model.run)
        with context.clock("load"):
            opened = yield from open_whole(reference, job, context, device, "dense")
            texts = yield from _texts(job, context, opened)
    except PruneError as error:
        if job.method.needs_dense:
            raise
        yield Warned(message=f"The dense model was left out of the comparison. {error}")
        return Dense(None, None, None)
    yield from _evaluate(job, context, opened, texts, "dense")
    with context.clock("dense_eval"):
        loss = mean_loss(opened.model, texts.held_out, next_token_loss, job.training.batch)
    answer = yield from dense_answer(job, context, opened)
    parameters = parameters_of(opened.model)
    yield from measured(context, opened, "dense", opened.folder, timed=False)
    return Dense(loss, parameters, opened.folder, answer, opened.model if job.method.needs_dense else None)


def _texts(job: Recover, context: Context, opened: Opened) -> Generator[Event, None, Texts]:
    trained, held_out = yield from training_windows(job, opened, context.policy)
    evaluation = yield from evaluation_windows(job, opened, context.policy, job.training.text)
    return Texts(evaluation, trained, held_out)


def _evaluate(
    job: Recover, context: Context, opened: Opened, texts: Texts, subject: Subject
) -> Iterator[Event]:
    """Perplexity on every text; what was measured of a model before it was changed is known to later runs."""
    with context.clock(f"{subject}_eval"):
        for wanted, windows in zip(job.evaluation, texts.evaluation, strict=True):
            if subject == "recovered":
                yield (
                    yield from perplexity_events(opened.model, windows, subject, wanted.text, opened.store)
                )
                continue
            found = yield from known_perplexity_events(
                opened.model, windows, subject, wanted.text, opened.folder, opened.store
            )
            if found.reused:
                context.clock.spare(f"{subject}_eval", found.seconds)
            yield found


def _compared(context: Context, dense: Path | None, opened: Opened, checkpoint: Path) -> Iterator[Event]:
    """Size and speed of what was made, beside the dense model where that is there."""
    yield from measured(context, opened, "pruned", checkpoint, timed=False)
    if dense is not None and timed_in_turns(dense):
        with context.clock("measure"):
            yield from speeds_of_two(dense, opened, torch.float32, checkpoint)


def _merge(
    context: Context, opened: Opened, attached: Attached, kept: list[Tensor]
) -> Generator[Event, None, Path]:
    with context.clock("save"):
        yield Progress(stage="save", done=0, total=1, detail="recovered weights")
        merged = attached.merge()
        if merged.note:
            yield Warned(message=merged.note)
        _check_zeros(opened.layers, kept)
        return save_checkpoint(
            opened.model, opened.folder, context.folder / "checkpoint", set(merged.changed)
        )


def _check_zeros(layers: list[Layer], kept: list[Tensor]) -> None:
    for layer, of_layer in zip(layers, kept, strict=True):
        if bool((layer.matrix[~of_layer] != 0).any()):
            raise RunFailed(f"A pruned weight of {layer.name} (block {layer.block}) is not zero any more.")


def _recalled(job: Recover, context: Context) -> tuple[TrainingState, dict[str, Tensor]] | None:
    """What another run has kept of the same training; or this one, where it begins again because its node was lost."""
    if training_state.is_kept(context.folder):
        own = context.folder / TRAINING
        state, tensors = training_state.recall(own, TrainingState)
        return (state, tensors) if state.asked == asked(job) else None
    if job.resume is None:
        return None
    state, tensors = training_state.recall(context.training_of(job.resume), TrainingState)
    if state.asked != asked(job):
        raise BadInput(
            f"Run {job.resume} trained something else; to go on from it, ask for the same model, method, text and seed."
        )
    if state.step > job.optimiser_steps:
        raise BadInput(
            f"Run {job.resume} came to step {state.step} already; to go on from it, ask for at least as many steps."
        )
    return state, tensors


def asked(job: Recover) -> str:
    """What two trainings must have in common so that one can go on from the other's state. With as many steps and as
    much warm-up as well it ends where an undisturbed one would; otherwise with the learning rates of the new plan."""
    same = job.model_dump(mode="json", include={"model", "method", "training", "seed", "clip"})
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


class _Training:
    """The loop: steps, points of the curve, kept states."""

    def __init__(
        self,
        job: Recover,
        context: Context,
        opened: Opened,
        texts: Texts,
        attached: Attached,
        dense: Dense,
        kept: list[Tensor],
    ):
        self._job, self._context, self._model, self._texts = job, context, opened.model, texts
        self._attached, self._dense = attached, dense
        self._parameters = dense.parameters or parameters_of(opened.model)
        self._sparsity = 1 - sum(int(one.sum()) for one in kept) / sum(one.numel() for one in kept)
        self._trainer = Trainer(
            opened.model, attached.trained, job.method.loss, self._plan(), dense.model, _in_half(job, opened)
        )
        self._step, self._seconds = 0, 0.0
        self._warm_up = round(job.warm_up * job.optimiser_steps)
        self._curve: list[Trained] = []
        self._losses: list[float] = []
        self._told = False

    def _plan(self) -> Plan:
        job = self._job
        return Plan(
            steps=job.optimiser_steps,
            warm_up=job.warm_up,
            largest_rate=job.method.learning_rate,
            weight_decay=job.method.weight_decay,
            clip=job.clip,
            batch=job.training.batch,
            seed=job.seed,
            windows=self._texts.trained,
        )

    @property
    def _every(self) -> int:
        """Steps between two points: few points, and measuring takes at most a third as long as training."""
        job = self._job
        return max(
            math.ceil(job.optimiser_steps / _MOST_POINTS),
            math.ceil(job.training.held_out / job.training.batch),
        )

    def run(self, state: tuple[TrainingState, dict[str, Tensor]] | None) -> Iterator[Event]:
        if state is not None:
            self._restore(*state)
            yield from self._kept()  # the other run may be deleted now
        yield self._began()
        yield from self._curve
        if not self._curve:
            yield self._point()
        try:
            yield from self._steps()
        except GeneratorExit:  # asked to stop between two steps
            with contextlib.suppress(OSError):
                self._keep()
            raise

    def _steps(self) -> Iterator[Event]:
        kept_at, kept_step = perf_counter(), self._step
        while self._step < self._job.optimiser_steps:
            yield Progress(stage="train", done=self._step, total=self._job.optimiser_steps)
            self._do_step()
            if self._step % self._every == 0 or self._step == self._job.optimiser_steps:
                yield self._point()
                if said := self._flat():
                    yield Warned(message=said)
                    return
            if perf_counter() - kept_at > _KEEP_SECONDS or self._step - kept_step >= _KEEP_STEPS:
                yield from self._kept()
                kept_at, kept_step = perf_counter(), self._step
        yield Progress(stage="train", done=self._step, total=self._job.optimiser_steps)

    def _do_step(self) -> None:
        began = perf_counter()
        self._attached.train(True)
        loss = self._trainer.step(self._step + 1)
        self._attached.keep_zeros()
        self._attached.train(False)
        self._step += 1
        self._losses.append(loss)
        self._seconds += perf_counter() - began

    def _point(self) -> Trained:
        held_out = mean_loss(self._model, self._texts.held_out, next_token_loss, self._job.training.batch)
        if not math.isfinite(held_out):
            raise RunFailed(
                f"The held-out loss is not finite any more at step {self._step}; use a smaller learning rate."
            )
        found = Trained(
            step=self._step,
            tokens=self._step * self._job.tokens_per_step,
            loss=fmean(self._losses) if self._losses else None,
            held_out=held_out,
            learning_rate=self._trainer.rate(self._step) if self._step else 0.0,
            seconds=round(self._seconds, 3),
        )
        self._losses.clear()
        self._curve.append(found)
        return found

    def _flat(self) -> str:
        """Why to stop now, by the curve behind the warm-up; nothing where it still falls, or nobody asked."""
        least = self._job.stop_when_flat
        points = [(one.tokens, one.held_out) for one in self._curve if one.step > self._warm_up]
        if not least or self._step >= self._job.optimiser_steps:
            return ""
        fall = expected_fall(points)
        if fall is None or fall >= least:
            return ""
        return (
            f"Stopped at step {self._step}, because the curve is flat: as many tokens again would lower the held-out "
            f"loss by about {max(fall, 0.0):.2g}."
        )

    def _began(self) -> TrainingBegan:
        return TrainingBegan(
            step=self._step,
            steps=self._job.optimiser_steps,
            warm_up=self._warm_up,
            trained=sum(one.numel() for one in self._attached.trained.values()),
            windows=len(self._texts.trained),
            held_out=len(self._texts.held_out),
            tokens_per_step=self._job.tokens_per_step,
            model_parameters=self._parameters,
            sparsity=self._sparsity,
            dense_loss=self._dense.loss,
        )

    def _kept(self) -> Iterator[Event]:
        """Without room to keep how far it came the training goes on, and says once what that means."""
        try:
            self._keep()
        except OSError as error:
            if not self._told:
                yield Warned(message=f"{CANNOT_BE_KEPT} ({' '.join(str(error).split())[:100]}).")
            self._told = True

    def _keep(self) -> None:
        """Raises OSError."""
        state = TrainingState(
            asked=asked(self._job),
            step=self._step,
            seconds=self._seconds,
            warm_up=self._warm_up,
            curve=tuple(self._curve),
            losses=tuple(self._losses),
        )
        training_state.keep(self._context.folder, state, self._trainer.tensors())

    def _restore(self, state: TrainingState, tensors: dict[str, Tensor]) -> None:
        try:
            self._trainer.restore(tensors, state.step)
        except (KeyError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise BadInput(
                "What that run had kept of its training does not fit this model; start the recovery again."
            ) from error
        self._step, self._seconds = state.step, state.seconds
        self._warm_up = max(self._warm_up, state.warm_up)  # a shorter plan leaves the curve as it was
        self._curve, self._losses = list(state.curve), list(state.losses)


def _in_half(job: Recover, opened: Opened) -> bool:
    """Forwards in bfloat16: where it was asked for, and by default on a CUDA device that supports it."""
    if job.resources.dtype != "auto":
        return job.resources.dtype == "bfloat16"
    return next(opened.model.parameters()).is_cuda and torch.cuda.is_bf16_supported()
