"""A run after (or while) it happened: the job and its events, folded. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from apt_core import events as ev
from apt_core.base.errors import NotNumbers
from apt_core.base.policy import LOCAL, STRICT, HostPolicy
from apt_core.base.status import LIVE as LIVE
from apt_core.base.status import Status as Status
from apt_core.base.values import Frozen
from apt_core.base.words import file_title
from apt_core.jobs import AnyJob, Prune, Pruning
from apt_core.jobs.kinds import makes_a_model, prunes


class RunRecord(Frozen):
    """What every view draws. A number that is not known yet is None, never 0."""

    id: str
    job: AnyJob
    status: Status = "queued"
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    last_event_at: float | None = None
    last_seq: int = -1
    model: ev.ModelLoaded | None = None
    progress: ev.Progress | None = None
    progress_at: float | None = None
    stage_started_at: float | None = None
    layers: tuple[ev.LayerPruned, ...] = ()
    allocated: ev.Allocated | None = None
    shrunk: ev.Shrunk | None = None
    evaluated: tuple[ev.Evaluated, ...] = ()  # for every subject the texts of the job, in their order
    measured: tuple[ev.Measured, ...] = ()
    sized: tuple[ev.Sized, ...] = ()
    diverged: tuple[ev.Diverged, ...] = ()  # of the texts that dense and pruned were compared on
    rounded: ev.Rounded | None = None
    sparse_kernels: ev.SparseKernels | None = None
    scored: tuple[ev.TaskScored, ...] = ()
    answers: ev.Answers | None = None  # of both models to the standard question
    asked: tuple[
        ev.Answers, ...
    ] = ()  # what people asked both models afterwards, where the reader may see it
    used: tuple[ev.Used, ...] = ()  # memory and processor time, over the run
    training: ev.TrainingBegan | None = None
    steps: tuple[ev.Trained, ...] = ()  # the loss curve
    search: ev.SearchBegan | None = None
    generations: tuple[ev.Generation, ...] = ()  # of a search, from the first
    warnings: tuple[ev.Warned, ...] = ()
    finished: ev.Finished | None = None
    failure: ev.Failed | None = None
    owner: str = LOCAL  # whose run it is, as `runs.owners` names visitors
    study: str = ""  # the id of the study that this run belongs to
    orphaned: bool = False  # the run that its model was made by has been deleted
    lineage: tuple[
        str, ...
    ] = ()  # the runs that its model goes back to, as far as they are here; the nearest first
    conditions: str = ""  # for recorded samples: where and when they were recorded
    look: str = ""  # for recorded samples: what to look at in them

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def pruning(self) -> Prune:
        """The job of a run that prunes; raises TypeError for any other kind."""
        if not prunes(self.job):
            raise TypeError(f"Run {self.id} is a job of kind {self.job.kind}, which prunes nothing.")
        return self.job

    @property
    def making(self) -> Pruning:
        """The job of a run that makes a model of a model, by any method; raises TypeError for any other kind."""
        if not makes_a_model(self.job):
            raise TypeError(f"Run {self.id} is a job of kind {self.job.kind}, which makes no model.")
        return self.job

    @property
    def parameters(self) -> dict[str, int | None]:
        """Of the dense model and of the one that was made of it; zeros count."""
        opened = self.model.parameters if self.model else None
        dense = self.training.model_parameters if self.training else opened
        made = self.finished is not None and {"pruned", "recovered"} & set(self.job.subjects)
        return {"dense": dense, "pruned": self.shrunk.parameters if self.shrunk else opened if made else None}

    @property
    def made_from(self) -> str | None:
        """The id of the run that made the model of this one."""
        return self.job.model.run

    def evaluated_on(self, subject: str) -> tuple[ev.Evaluated, ...]:
        """The perplexities of one model, in the order of the job's texts."""
        return tuple(one for one in self.evaluated if one.subject == subject)

    @property
    def dense(self) -> ev.Evaluated | None:
        """The model that was opened, on the first text."""
        return next(iter(self.evaluated_on("dense")), None)

    @property
    def pruned(self) -> ev.Evaluated | None:
        return next(iter(self.evaluated_on("pruned")), None)

    @property
    def dense_speed(self) -> ev.Measured | None:
        """The last measurement: where both models took turns, that one."""
        return next((one for one in reversed(self.measured) if one.subject == "dense"), None)

    @property
    def pruned_speed(self) -> ev.Measured | None:
        return next((one for one in reversed(self.measured) if one.subject == "pruned"), None)

    def size_of(self, subject: str) -> ev.Sized | None:
        return next((one for one in self.sized if one.subject == subject), None)

    @property
    def made(self) -> ev.Evaluated | None:
        """What the job made of its model, on the first text: the last of its subjects."""
        return next(iter(self.evaluated_on(self.job.subjects[-1])), None)

    @property
    def before(self) -> ev.Evaluated | None:
        """The pruned model that a recovery begins with, on the first text."""
        return next(iter(self.evaluated_on("before")), None)

    @property
    def start(self) -> ev.Evaluated | None:
        """The uniform widths that a search begins with, on the first text."""
        return next(iter(self.evaluated_on("start")), None)

    @property
    def ratio(self) -> float | None:
        """Perplexity of what was made over that of the dense model, on the first text."""
        if self.dense is None or self.made is None:
            return None
        return self.made.perplexity / self.dense.perplexity

    @property
    def lost_its_predictions(self) -> bool:
        """Whether what was made predicts no finite numbers, though the dense model does: asked again, the job ends
        the same way."""
        failed = self.failure is not None and self.failure.reason == NotNumbers.kind
        return failed and self.dense is not None

    @property
    def questions(self) -> tuple[ev.Answers, ...]:
        """Every question that both models answered, the standard one first."""
        return (*((self.answers,) if self.answers else ()), *self.asked)

    @property
    def mean_relative_error(self) -> float | None:
        if not self.layers:
            return None
        return sum(layer.relative_error for layer in self.layers) / len(self.layers)

    @property
    def sparsity(self) -> float | None:
        """Fraction really zero over what was pruned so far; of a model that became smaller the fraction that went."""
        if self.shrunk:
            return self.shrunk.share
        if not self.layers:
            return None
        weights = sum(layer.shape[0] * layer.shape[1] for layer in self.layers)
        return sum(layer.removed for layer in self.layers) / weights


def fold(record: RunRecord, log: Iterable[ev.Stamped]) -> RunRecord:
    """The record after these events. Pure; feeding a log in pieces gives the same record."""
    fields: dict[str, Any] = {"last_seq": record.last_seq}
    lists = {name: list(getattr(record, name)) for name in _LISTED.values()}
    stage = _stage(record.progress)
    for stamped in log:
        if stamped.seq <= fields["last_seq"]:
            continue
        event, at = stamped.event, stamped.at
        fields |= {"last_seq": stamped.seq, "last_event_at": at}
        if (name := _LISTED.get(type(event))) is not None:
            lists[name].append(event)
        elif isinstance(event, ev.Restarted):
            fields |= _FORGOTTEN
            lists = {name: [] for name in lists} | {"warnings": [ev.Warned(message=event.message)]}
            stage = None
        elif isinstance(event, ev.Progress):
            fields |= {"progress": event, "progress_at": at}
            if _stage(event) != stage:
                stage = _stage(event)
                fields["stage_started_at"] = at
        else:
            fields |= _changes(event, at)
    return record.model_copy(update=fields | {name: tuple(found) for name, found in lists.items()})


_LISTED: dict[type, str] = {
    ev.LayerPruned: "layers",
    ev.Evaluated: "evaluated",
    ev.Measured: "measured",
    ev.Sized: "sized",
    ev.Diverged: "diverged",
    ev.TaskScored: "scored",
    ev.Used: "used",
    ev.Trained: "steps",
    ev.Generation: "generations",
    ev.Warned: "warnings",
}


# What a run that begins again has not said yet.
_FORGOTTEN: dict[str, Any] = {
    name: RunRecord.model_fields[name].default
    for name in (
        "model",
        "allocated",
        "shrunk",
        "rounded",
        "answers",
        "sparse_kernels",
        "training",
        "search",
        "progress",
        "progress_at",
        "stage_started_at",
    )
}


def _stage(progress: ev.Progress | None) -> tuple[str, str | None] | None:
    return (progress.stage, progress.subject) if progress else None


def _changes(event: ev.Event, at: float) -> dict[str, Any]:
    """What an event that happens once sets; nothing for one that only a later version knows."""
    match event:
        case ev.Queued():
            return {"created_at": at, "owner": event.owner}
        case ev.Started():
            return {"started_at": at, "status": "running"}
        case ev.ModelLoaded():
            return {"model": event}
        case ev.Allocated():
            return {"allocated": event}
        case ev.Shrunk():
            return {"shrunk": event}
        case ev.Rounded():
            return {"rounded": event}
        case ev.Answers():
            return {"answers": event}
        case ev.SparseKernels():
            return {"sparse_kernels": event}
        case ev.TrainingBegan():
            return {"training": event}
        case ev.SearchBegan():
            return {"search": event}
        case ev.Cancelled():
            return {"status": "cancelled", "ended_at": at}
        case ev.Failed():
            return {"status": "failed", "ended_at": at, "failure": event}
        case ev.Finished():
            return {"status": "finished", "ended_at": at, "finished": event}
    return {}


def public_name(place: str, policy: HostPolicy = STRICT) -> str:
    """A name as it is, and a path too; on a public host only the title of a file."""
    return file_title(place) if policy.public and Path(place).is_absolute() else place


def summary(record: RunRecord, policy: HostPolicy = STRICT) -> dict[str, Any]:
    """The one JSON object of a run: what `--json` prints and the page lets people download.

    On a public host files are named without their folders.
    """

    def name(place: str) -> str:
        return public_name(place, policy)

    return {
        "run": record.id,
        "kind": record.job.kind,
        "status": record.status,
        "model": name(record.job.model.id),
        "made_from": record.made_from,
        "lineage": _lineage(record),
        "study": record.study or None,
        **record.job.request(name),
        **_results(record, name),
        "failure": record.failure.model_dump(exclude={"kind"}) if record.failure else None,
        "checkpoint": name(record.finished.checkpoint) if record.finished else None,
        "device": record.model.device if record.model else None,
        "dtype": record.model.dtype if record.model else None,
        "hardware": record.model.hardware if record.model else None,
        "versions": record.model.versions if record.model else None,
    }


def texts_of(record: RunRecord, name: Callable[[str], str]) -> list[dict[str, Any]]:
    """Every perplexity with its interval: which model, which text, how many windows."""
    return [
        {
            "subject": one.subject,
            "text": name(one.text),
            "perplexity": one.perplexity,
            "low": one.low,
            "high": one.high,
            "windows": one.windows,
            "length": one.length,
            "stride": one.stride,
            "protocol": one.protocol,
        }
        for one in record.evaluated
    ]


def measures(record: RunRecord, name: Callable[[str], str]) -> dict[str, Any]:
    """What was measured beside perplexity: speed, size, distance to the dense model, rounding, tasks."""
    fast = {"dense": record.dense_speed, "pruned": record.pruned_speed}
    return {
        "tokens_per_second": {side: one.tokens_per_second if one else None for side, one in fast.items()},
        "speed": {side: _in_turns(one) for side, one in fast.items()},
        "sizes": {one.subject: one.model_dump(exclude={"kind", "subject"}) for one in record.sized},
        "divergence": [
            one.model_dump(exclude={"kind", "text"}) | {"text": name(one.text)} for one in record.diverged
        ],
        "rounded": record.rounded.model_dump(exclude={"kind"}) if record.rounded else None,
        "tasks": [one.model_dump(exclude={"kind"}) for one in record.scored],
    }


def _results(record: RunRecord, name: Callable[[str], str]) -> dict[str, Any]:
    finished, dense, pruned = record.finished, record.dense, record.pruned
    fast = {"dense": record.dense_speed, "pruned": record.pruned_speed}
    return {
        "sparsity": finished.sparsity if finished else record.sparsity,
        "mean_relative_error": record.mean_relative_error,
        "perplexity": {
            "dense": dense.perplexity if dense else None,
            "pruned": pruned.perplexity if pruned else None,
            **_recovered(record),
            **_searched(record),
            "protocol": next((one.protocol for one in record.evaluated), None),
        },
        "texts": texts_of(record, name),
        **measures(record, name),
        "bytes_on_disk": {side: one.bytes_on_disk if one else None for side, one in fast.items()},
        "parameters": record.parameters,
        "bytes": {side: one.bytes_on_disk if one else None for side, one in fast.items()},
        "shrunk": record.shrunk.model_dump(exclude={"kind"}) if record.shrunk else None,
        "answers": record.answers.model_dump(exclude={"kind"}) if record.answers else None,
        "asked": [one.model_dump(exclude={"kind"}) for one in record.asked],
        "trained": record.training.model_dump(exclude={"kind"}) if record.training else None,
        "steps": [one.model_dump(exclude={"kind"}) for one in record.steps],
        "search": record.search.model_dump(exclude={"kind"}) if record.search else None,
        "generations": [one.model_dump(exclude={"kind"}) for one in record.generations],
        "seconds": finished.seconds if finished else None,
        "peak_rss_bytes": finished.peak_rss_bytes if finished else None,
        "allocated": record.allocated.shares if record.allocated else None,
        "allocation": _allocation(record),
        "layers": [layer.model_dump(exclude={"kind"}) for layer in record.layers],
        "warnings": [warning.message for warning in record.warnings],
    }


def _lineage(record: RunRecord) -> list[str]:
    """The runs that its model goes back to, the nearest first; of a run outside of any store the nearest alone."""
    return list(record.lineage) or [run for run in (record.made_from,) if run is not None]


def _allocation(record: RunRecord) -> dict[str, Any] | None:
    """Which allocation decided, and what it gave each layer (None where all were given the same, or nothing yet)."""
    name = record.job.allocation_name
    shares = record.allocated.shares if record.allocated else None
    return None if name is None else {"name": name, "layers": shares}


def _recovered(record: RunRecord) -> dict[str, float | None]:
    """Perplexities of a recovery: the pruned model that it began with, and what became of it."""
    if "recovered" not in record.job.subjects:
        return {}
    return {
        "before": record.before.perplexity if record.before else None,
        "recovered": record.made.perplexity if record.made else None,
    }


def _searched(record: RunRecord) -> dict[str, float | None]:
    """Perplexity of the uniform widths that a search begins with, compensated as what it found is."""
    if "start" not in record.job.subjects:
        return {}
    return {"start": record.start.perplexity if record.start else None}


def _in_turns(one: ev.Measured | None) -> dict[str, Any] | None:
    """Prefill and decoding with their spread, None where the models did not take turns."""
    if one is None or one.prefill is None or one.decode is None:
        return None
    return {"prefill": one.prefill.model_dump(), "decode": one.decode.model_dump()}
