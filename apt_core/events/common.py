"""Everything a run can say. No torch: the page, the command line and the store read these.

A worker yields events; the store keeps them; every view is a fold over them (`records.fold`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from apt_core.base.policy import LOCAL
from apt_core.base.values import Frozen
from apt_core.events.search import Generation, SearchBegan
from apt_core.events.train import Trained, TrainingBegan

# Whose figures they are: the dense model and the one that was made of it, or the only one there is; of a recovery the
# pruned model that it begins with, and what it made of that; of a search the uniform widths that it begins with.
Subject = Literal["dense", "pruned", "model", "before", "recovered", "start"]


class Queued(Frozen):
    """A run was asked for. owner: by whom, as `runs.owners` names visitors."""

    kind: Literal["queued"] = "queued"
    owner: str = LOCAL


class Started(Frozen):
    """The worker has begun; nothing about the model is known yet."""

    kind: Literal["started"] = "started"
    pid: int


class Restarted(Frozen):
    """What worked on the run was lost, and it began again: what it said of layers and results before does not count.

    message: one sentence, shown as a warning."""

    kind: Literal["restarted"] = "restarted"
    message: str


class Paused(Frozen):
    """The work ended between two blocks, to be gone on with later; what it had come to is kept in the run's folder.

    done: blocks that are pruned, of `total`."""

    kind: Literal["paused"] = "paused"
    done: int
    total: int


class Resumed(Frozen):
    """The work goes on behind the blocks that are `done`; what comes before them was said already."""

    kind: Literal["resumed"] = "resumed"
    done: int
    total: int


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


class Allocated(Frozen):
    """The sparsity that each layer was given, where an allocation differs from layer to layer."""

    kind: Literal["allocated"] = "allocated"
    shares: dict[str, float]  # "block:layer" -> fraction of its weights to remove


class Narrowed(Frozen):
    """Structures of which blocks have fewer now.

    after: those of a block, of the narrowest where blocks differ. lost: for each block, the share of the importance of
    all of them that went. by_block: how many each block has, where blocks differ.
    """

    name: str  # "attention heads", "key-value heads", "MLP channels"
    before: int
    after: int
    lost: tuple[float, ...] = ()
    by_block: tuple[int, ...] = ()

    def of_block(self, block: int) -> int:
        """How many this block has now."""
        return self.by_block[block] if self.by_block else self.after

    @property
    def staying(self) -> str:
        """'6 of 9 attention heads'; '3 to 9 of 9 attention heads' where blocks differ."""
        most = max(self.by_block, default=self.after)
        span = f"{self.after:,}" if most == self.after else f"{self.after:,} to {most:,}"
        return f"{span} of {self.before:,} {self.name}"


class Folded(Frozen):
    """A block whose last projection took over for removed blocks behind it by a linear map.

    left: the share of what those had added to the hidden states that is still missing on the calibration text.
    """

    block: int
    left: float


class Shrunk(Frozen):
    """Which structures of the dense model went: what is left is a physically smaller model.

    kept: numbers of the blocks that stay, of so many. scores: of each block, None where one has none; the lowest went.
    uneven: whether the blocks that are left differ in width, so that transformers alone does not load them.
    """

    kind: Literal["shrunk"] = "shrunk"
    blocks: int
    kept: tuple[int, ...]
    score: str = ""  # what the scores are, empty where blocks were not compared
    scores: tuple[float | None, ...] = ()
    widths: tuple[Narrowed, ...] = ()
    folded: tuple[Folded, ...] = ()
    dense_parameters: int
    parameters: int  # that are left
    share: float  # of the weights in the linear layers of the blocks that went
    uneven: bool = False

    @property
    def removed_blocks(self) -> tuple[int, ...]:
        return tuple(block for block in range(self.blocks) if block not in self.kept)


class Evaluated(Frozen):
    """Perplexity of one model on one text: exp of the mean negative log-likelihood of a predicted token."""

    kind: Literal["evaluated"] = "evaluated"
    subject: Subject
    perplexity: float
    low: float | None = (
        None  # 95% interval from the windows' losses; None where one window says nothing of spread
    )
    high: float | None = None
    windows: int
    length: int
    tokens: int  # predicted tokens: windows * (length - 1)
    text: str
    protocol: str
    seconds: float
    losses: tuple[float, ...] = ()  # mean negative log-likelihood of each window; empty in runs of version 1
    reused: bool = False  # measured by an earlier run, with the same weights on the same windows


class Speed(Frozen):
    """Tokens a second over some repeats: the median, the slowest and the fastest."""

    median: float
    low: float
    high: float
    repeats: int

    @property
    def spread(self) -> float:
        return self.high - self.low

    def over(self, other: Speed) -> float | None:
        """This over the other; None where they differ by no more than repeats of one of them do."""
        apart = abs(self.median - other.median)
        return None if apart <= max(self.spread, other.spread) else self.median / other.median


class Measured(Frozen):
    """Speed and size as measured on this machine.

    prefill (a prompt read in one go) and decode (one token after the other): while dense and pruned model took turns,
    None where they did not.
    """

    kind: Literal["measured"] = "measured"
    subject: Subject
    tokens_per_second: float | None = None  # greedy decoding, batch 1, with cache; None: not measured
    bytes_on_disk: int
    prefill: Speed | None = None
    decode: Speed | None = None


class Sized(Frozen):
    """Bytes of a model's weights."""

    kind: Literal["sized"] = "sized"
    subject: Subject
    on_disk: int  # the files that hold them, as they are
    compressed: int  # those files by zstd
    packed: int  # pruned weights as a bit mask and kept values
    resident: int  # in memory, in the type that they are stored in
    zstd_level: int


class Diverged(Frozen):
    """How far the pruned model's next-token distributions are from the dense model's, on the same windows.

    Means over tokens, with 95% intervals from the means of the windows; None where one window says nothing of spread.
    """

    kind: Literal["diverged"] = "diverged"
    text: str
    windows: int
    length: int
    tokens: int  # positions whose next token both predict: windows * (length - 1)
    kl: float  # KL(dense || pruned) in nats
    kl_low: float | None = None
    kl_high: float | None = None
    agreement: float  # share of positions at which both find the same token most likely
    agreement_low: float | None = None
    agreement_high: float | None = None


class Rounded(Frozen):
    """What a model would take with its prunable matrices rounded to nearest, scales counted."""

    kind: Literal["rounded"] = "rounded"
    bits: int
    group: int  # neighbouring inputs that share a scale
    scheme: str
    weights: int  # that are rounded
    bits_per_weight: float  # of these, with the scales
    n_bytes: int  # of the whole model, the rest in the type of its files
    packed_bytes: int  # the same with a bit mask, and codes of the weights that are not zero


class TaskScored(Frozen):
    """One metric of one zero-shot task, as lm-evaluation-harness computes it."""

    kind: Literal["task_scored"] = "task_scored"
    task: str
    metric: str  # "acc", "acc_norm"; with its filter where there is one: "exact_match (strict-match)"
    value: float
    stderr: float | None = None
    examples: int
    shots: int  # examples in the prompt
    version: str  # of the task
    harness: str  # "lm-eval 0.4.13"


class Used(Frozen):
    """What the process at work holds and has taken up to now; noted at intervals that grow with the run.

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
    )  # stage -> seconds that it took the run whose result of it was reused
    peak_rss_bytes: int
    checkpoint: str = ""  # folder of the safetensors that were made, empty when none were kept


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
        *(Sized, Diverged, Rounded, TaskScored, Used, TrainingBegan, Trained, Cancelled, Failed, Finished),
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
    | Annotated[Sized, Tag("sized")]
    | Annotated[Diverged, Tag("diverged")]
    | Annotated[Rounded, Tag("rounded")]
    | Annotated[TaskScored, Tag("task_scored")]
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
