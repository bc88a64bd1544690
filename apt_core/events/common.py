"""Every event of a run. No torch: the page, the command line and the store read these.

A worker yields events; the store keeps them; every view is a fold over them (`records.fold`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from apt_core.base.values import Frozen
from apt_core.events.asking import Answers
from apt_core.events.judging import (
    Diverged,
    Evaluated,
    Measured,
    Rounded,
    Sized,
    SparseKernels,
    Subject,
    TaskScored,
)
from apt_core.events.life import (
    Cancelled,
    Failed,
    Finished,
    Paused,
    Queued,
    Restarted,
    Resumed,
    Started,
    Used,
    Warned,
)
from apt_core.events.pruning import Allocated, LayerPruned, Shrunk
from apt_core.events.search import Generation, SearchBegan
from apt_core.events.train import Trained, TrainingBegan


class ModelLoaded(Frozen):
    """What will be pruned: enough to draw empty axes already scaled to the model."""

    kind: Literal["model_loaded"] = "model_loaded"
    title: str
    architecture: str
    parameters: int
    prunable: int  # weights in the linear layers of the decoder blocks
    blocks: int
    layers: tuple[str, ...]  # names inside a block, in order, e.g. "self_attn.q_proj"
    total_layers: int
    scans: int = 0  # what one token holds in all state space mixers (`models.scan`): how much work they are
    parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # layer -> the projections its rows are
    device: str
    dtype: str
    license: str | None = None  # of a model of the Hub, as its card states it; None where that is not known
    hardware: str  # e.g. "Intel Xeon, 2 cores, 23 GB"
    versions: dict[str, str]


class FileBytes(Frozen):
    """How much of a file has arrived."""

    name: str
    done: int
    total: int


class Progress(Frozen):
    """Where the run is; `done` of `total` units of this stage (bytes, windows or layers).

    stage: download, convert, load, evaluate, calibrate, prune, train, save, measure, or a word of another kind of job.
    """

    kind: Literal["progress"] = "progress"
    stage: str
    subject: Subject | None = None  # the model that is evaluated or measured
    done: float
    total: float
    detail: str = ""
    files: tuple[FileBytes, ...] = ()  # of a download, in order


class Unknown(Frozen):
    """An event that only a later version knows: kept as it is, and ignored by every fold."""

    model_config = ConfigDict(extra="allow")

    kind: str


KNOWN: dict[str, type[Frozen]] = {
    event.model_fields["kind"].default: event
    for event in (
        *(
            Queued,
            Started,
            Restarted,
            Paused,
            Resumed,
            ModelLoaded,
            Progress,
            LayerPruned,
            Allocated,
            Shrunk,
            Evaluated,
            Measured,
            Warned,
        ),
        *(
            SparseKernels,
            Sized,
            Diverged,
            Rounded,
            TaskScored,
            Answers,
            Used,
            TrainingBegan,
            Trained,
            Cancelled,
            Failed,
            Finished,
        ),
        *(SearchBegan, Generation),
    )
}
TERMINAL = (Cancelled, Failed, Finished)


def _tag(value: Any) -> str | None:
    if isinstance(value, Unknown):
        return "unknown"
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if kind in KNOWN else "unknown" if isinstance(kind, str) else None


Event = Annotated[
    Annotated[Queued, Tag("queued")]
    | Annotated[Started, Tag("started")]
    | Annotated[Restarted, Tag("restarted")]
    | Annotated[Paused, Tag("paused")]
    | Annotated[Resumed, Tag("resumed")]
    | Annotated[ModelLoaded, Tag("model_loaded")]
    | Annotated[Progress, Tag("progress")]
    | Annotated[LayerPruned, Tag("layer_pruned")]
    | Annotated[Allocated, Tag("allocated")]
    | Annotated[Shrunk, Tag("shrunk")]
    | Annotated[Evaluated, Tag("evaluated")]
    | Annotated[Measured, Tag("measured")]
    | Annotated[SparseKernels, Tag("sparse_kernels")]
    | Annotated[Sized, Tag("sized")]
    | Annotated[Diverged, Tag("diverged")]
    | Annotated[Rounded, Tag("rounded")]
    | Annotated[TaskScored, Tag("task_scored")]
    | Annotated[Answers, Tag("answers")]
    | Annotated[Used, Tag("used")]
    | Annotated[TrainingBegan, Tag("training_began")]
    | Annotated[Trained, Tag("trained")]
    | Annotated[SearchBegan, Tag("search_began")]
    | Annotated[Generation, Tag("generation")]
    | Annotated[Warned, Tag("warned")]
    | Annotated[Cancelled, Tag("cancelled")]
    | Annotated[Failed, Tag("failed")]
    | Annotated[Finished, Tag("finished")]
    | Annotated[Unknown, Tag("unknown")],
    Discriminator(_tag),
]


class Stamped(Frozen):
    """One line of a run's log: an event, its place in the log and when it happened (Unix seconds)."""

    seq: int
    version: int = Field(default=2, ge=1)  # of the events' form; lines without one are of version 1
    at: float
    event: Event
