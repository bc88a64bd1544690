"""What an allocation gives each layer of a model, found without removing a weight: as a run would, and no further."""

from __future__ import annotations

from collections.abc import Generator
from time import perf_counter

import torch
from torch import Tensor

from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.events import Event
from apt_core.execute import allocating
from apt_core.execute.calibrated import Calibrated
from apt_core.execute.context import Context
from apt_core.execute.opening import Opened, calibration_windows, check_pattern, open_model, titled
from apt_core.jobs import Prune
from apt_core.measure.inside.questions import AllocationQuestion
from apt_core.measure.layer_shares import LayerShares, given_by
from apt_core.methods.component import DenseModel

_NO_WINDOWS = torch.empty(0, 1, dtype=torch.int64)


def layer_shares(question: AllocationQuestion, context: Context) -> Generator[Event, None, LayerShares]:
    """The events of a run up to its first block, and what each layer would be given.

    Raises PruneError for what the user can change; out-of-memory and OSErrors pass through.
    """
    job, start = question.job, perf_counter()
    device = choose_device(context.device)
    dtype = choose_dtype(device, job.resources.dtype)
    opened = yield from open_model(job, context, dtype, device, job.optional_layers)
    check_pattern(opened.layers, job.pattern)
    windows = (yield from calibration_windows(job, opened, context.policy)) if question.reads_text else None
    dense = yield from _looked_at(question.job, context, opened, windows, dtype)
    return LayerShares(
        title=titled(job, context),
        allocation=job.method.allocation.title,
        pattern=job.pattern.label,
        layers=given_by(job.method.allocation, dense, job.pattern),
        seconds=perf_counter() - start,
    )


def _looked_at(
    job: Prune, context: Context, opened: Opened, windows: Tensor | None, dtype: torch.dtype
) -> Generator[Event, None, DenseModel]:
    """What the allocation knows of the dense model. windows: None where it reads no text."""
    read = _NO_WINDOWS if windows is None else windows.to(next(opened.model.parameters()).device)
    with opened.store.scratch(context.folder) as scratch:
        given = Calibrated(job, opened.model, opened.store, opened.layers, read, dtype, scratch)
        entering = None if windows is None else (yield from allocating.embedded(given))
        sensitivity = yield from allocating.sensitivity_of(given, entering, context.clock)
        return (yield from allocating.dense_model(given, entering, sensitivity, context.clock))
