"""Everything a run can say. No torch: the page, the command line and the store read these.

A worker yields events; the store keeps them; every view is a fold over them (`records.fold`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apt_core.base.values import Frozen

Stage = Literal[
    "download", "convert", "load", "dense_eval", "calibrate", "prune", "save", "pruned_eval", "measure"
]
Side = Literal["dense", "pruned"]


class Queued(Frozen):
    kind: Literal["queued"] = "queued"


class Started(Frozen):
    """The worker has begun; nothing about the model is known yet."""

    kind: Literal["started"] = "started"
    pid: int


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
    hardware: str  # e.g. "Intel Xeon, 2 cores, 23 GB"
    versions: dict[str, str]


class FileBytes(Frozen):
    """How much of a file has arrived."""

    name: str
    done: int
    total: int


class Progress(Frozen):
    """Where the run is; `done` of `total` units of this stage (bytes, windows or layers)."""

    kind: Literal["progress"] = "progress"
    stage: Stage
    done: float
    total: float
    detail: str = ""
    files: tuple[FileBytes, ...] = ()  # of a download, in order


class PartPruned(Frozen):
    """Some rows of a layer that are a projection of their own, such as B of a Mamba-2's one projection."""

    name: str
    rows: int
    removed: int
    sparsity: float
    relative_error: float  # of these rows alone


class LayerPruned(Frozen):
    kind: Literal["layer_pruned"] = "layer_pruned"
    block: int
    layer: str
    shape: tuple[int, int]  # [out, in]
    removed: int  # weights that are exactly zero now
    sparsity: float  # removed / (out * in)
    relative_error: float  # tr(D G D^T) / tr(W G W^T), undamped G, float32
    pattern_valid: bool  # exactly k removed, and for N:M every group holds at most N non-zeros
    dampening: float
    seconds: float  # for this layer alone
    parts: tuple[
        PartPruned, ...
    ] = ()  # from the first row to the last, where it is several projections in one
    tokens: int | None = None  # calibration tokens that the statistics are made of
    few_tokens: bool = False  # too few for the layer's width, so its statistics are mostly noise


class Evaluated(Frozen):
    kind: Literal["evaluated"] = "evaluated"
    side: Side
    perplexity: float
    windows: int
    length: int
    tokens: int  # predicted tokens: windows * (length - 1)
    text: str
    protocol: str
    seconds: float
    reused: bool = False  # measured by an earlier run, with the same weights on the same windows


class Measured(Frozen):
    """Speed and size as measured on this machine."""

    kind: Literal["measured"] = "measured"
    side: Side
    tokens_per_second: float | None = None  # greedy decoding, batch 1, with cache; None: not measured
    bytes_on_disk: int


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
    sparsity: float  # fraction really zero over what was pruned
    parameters: int
    removed: int
    seconds: dict[str, float]  # load, dense_eval, prune, pruned_eval, total (+ forward, statistics, solve)
    peak_rss_bytes: int
    checkpoint: str = ""  # folder of the pruned safetensors, empty when not kept


Event = Annotated[
    Queued
    | Started
    | ModelLoaded
    | Progress
    | LayerPruned
    | Evaluated
    | Measured
    | Warned
    | Cancelled
    | Failed
    | Finished,
    Field(discriminator="kind"),
]
TERMINAL = (Cancelled, Failed, Finished)


class Stamped(Frozen):
    """One line of a run's log: an event, its place in the log and when it happened (Unix seconds)."""

    seq: int
    at: float
    event: Event


def dump_line(stamped: Stamped) -> str:
    return stamped.model_dump_json()


def parse_line(line: str | bytes) -> Stamped:
    """Raises pydantic.ValidationError on a torn or foreign line."""
    return Stamped.model_validate_json(line)
