"""The life cycle of a run: queued, started, interrupted, ended. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from apt_core.base.policy import LOCAL
from apt_core.base.values import Frozen

LIBRARIES = "libraries"  # what a run is spared that a warm process begins


class Queued(Frozen):
    """A run was asked for. owner: by whom, as `runs.owners` names visitors."""

    kind: Literal["queued"] = "queued"
    owner: str = LOCAL


class Started(Frozen):
    """The worker has begun; nothing about the model is known yet."""

    kind: Literal["started"] = "started"
    pid: int


class Restarted(Frozen):
    """The worker was lost and the run began again: earlier events of layers and results do not count.

    message: one sentence, shown as a warning."""

    kind: Literal["restarted"] = "restarted"
    message: str


class Paused(Frozen):
    """The work ended between two blocks, to be resumed later; its state is kept in the run's folder.

    done: blocks that are pruned, of `total`."""

    kind: Literal["paused"] = "paused"
    done: int
    total: int


class Resumed(Frozen):
    """The work goes on behind the blocks that are `done`; what comes before them was said already."""

    kind: Literal["resumed"] = "resumed"
    done: int
    total: int


class Used(Frozen):
    """What the worker process holds and has used so far; noted at intervals that grow with the run.

    cpu_seconds: of all its threads, since its start. gpu_bytes: that torch has reserved on CUDA devices.
    """

    kind: Literal["used"] = "used"
    rss_bytes: int = Field(ge=0)
    cpu_seconds: float = Field(ge=0)
    gpu_bytes: int = Field(default=0, ge=0)
    seconds: float = Field(ge=0)  # since the job began


class Warned(Frozen):
    kind: Literal["warned"] = "warned"
    message: str
    layer: str = ""


class Cancelled(Frozen):
    kind: Literal["cancelled"] = "cancelled"
    message: str = "Stopped. What was done so far is kept."


class Failed(Frozen):
    kind: Literal["failed"] = "failed"
    reason: str  # PruneError.kind
    message: str  # one sentence that says what to do next
    detail: str = ""  # traceback for the folded part


class Finished(Frozen):
    kind: Literal["finished"] = "finished"
    sparsity: float | None = None  # fraction really zero over what was pruned; None where nothing was
    parameters: int | None = None
    removed: int | None = None
    seconds: dict[str, float]  # load, dense_eval, prune, pruned_eval, total (+ forward, statistics, solve)
    spared: dict[str, float] = Field(
        default_factory=dict
    )  # stage -> seconds that its result cost the run that it was taken from, or LIBRARIES
    peak_rss_bytes: int
    checkpoint: str = ""  # folder of the safetensors that were made, empty when none were kept
