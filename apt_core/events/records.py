"""A run after (or while) it happened: the recipe and its events, folded. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from apt_core import events as ev
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.values import Frozen
from apt_core.jobs.recipe import Recipe

Status = Literal["queued", "running", "stopping", "finished", "failed", "cancelled"]
LIVE: tuple[Status, ...] = ("queued", "running", "stopping")


class RunRecord(Frozen):
    """What every view draws. A number that is not known yet is None, never 0."""

    id: str
    recipe: Recipe
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
    dense: ev.Evaluated | None = None
    pruned: ev.Evaluated | None = None
    dense_speed: ev.Measured | None = None
    pruned_speed: ev.Measured | None = None
    warnings: tuple[ev.Warned, ...] = ()
    finished: ev.Finished | None = None
    failure: ev.Failed | None = None
    conditions: str = ""  # for recorded samples: where and when they were recorded

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def ratio(self) -> float | None:
        """Pruned over dense perplexity."""
        if self.dense is None or self.pruned is None:
            return None
        return self.pruned.perplexity / self.dense.perplexity

    @property
    def mean_relative_error(self) -> float | None:
        if not self.layers:
            return None
        return sum(layer.relative_error for layer in self.layers) / len(self.layers)

    @property
    def sparsity(self) -> float | None:
        """Fraction really zero over what was pruned so far."""
        if not self.layers:
            return None
        weights = sum(layer.shape[0] * layer.shape[1] for layer in self.layers)
        return sum(layer.removed for layer in self.layers) / weights


def fold(record: RunRecord, log: Iterable[ev.Stamped]) -> RunRecord:
    """The record after these events. Pure; feeding a log in pieces gives the same record."""
    fields: dict[str, Any] = {}
    layers = list(record.layers)
    warnings = list(record.warnings)
    stage = record.progress.stage if record.progress else None
    for stamped in log:
        if stamped.seq <= fields.get("last_seq", record.last_seq):
            continue
        fields["last_seq"] = stamped.seq
        fields["last_event_at"] = stamped.at
        event = stamped.event
        match event:
            case ev.Queued():
                fields["created_at"] = stamped.at
            case ev.Started():
                fields |= {"started_at": stamped.at, "status": "running"}
            case ev.ModelLoaded():
                fields["model"] = event
            case ev.Progress():
                if event.stage != stage:
                    stage = event.stage
                    fields["stage_started_at"] = stamped.at
                fields |= {"progress": event, "progress_at": stamped.at}
            case ev.LayerPruned():
                layers.append(event)
            case ev.Evaluated():
                fields[event.side] = event
            case ev.Measured():
                fields[f"{event.side}_speed"] = event
            case ev.Warned():
                warnings.append(event)
            case ev.Cancelled():
                fields |= {"status": "cancelled", "ended_at": stamped.at}
            case ev.Failed():
                fields |= {"status": "failed", "ended_at": stamped.at, "failure": event}
            case ev.Finished():
                fields |= {"status": "finished", "ended_at": stamped.at, "finished": event}
    return record.model_copy(update=fields | {"layers": tuple(layers), "warnings": tuple(warnings)})


def told(place: str, policy: HostPolicy = STRICT) -> str:
    """A name as it is, and a path too; on a public host only the last part of a path."""
    return Path(place).name if policy.public and Path(place).is_absolute() else place


def summary(record: RunRecord, policy: HostPolicy = STRICT) -> dict[str, Any]:
    """The one JSON object of a run: what `prune --json` prints and the page lets people download.

    On a public host files are named without their folders.
    """
    finished = record.finished
    return {
        "run": record.id,
        "status": record.status,
        "model": told(record.recipe.model.id, policy),
        "method": record.recipe.method.name,
        "pattern": record.recipe.pattern.label,
        "options": record.recipe.method.model_dump(),
        "calibration": record.recipe.calibration.model_dump()
        | {"text": told(record.recipe.calibration.text, policy)},
        "evaluation": record.recipe.evaluation.model_dump()
        | {"text": told(record.recipe.evaluation.text, policy)},
        "seed": record.recipe.seed,
        "sparsity": finished.sparsity if finished else record.sparsity,
        "mean_relative_error": record.mean_relative_error,
        "perplexity": {
            "dense": record.dense.perplexity if record.dense else None,
            "pruned": record.pruned.perplexity if record.pruned else None,
            "protocol": record.dense.protocol if record.dense else None,
        },
        "tokens_per_second": {
            "dense": record.dense_speed.tokens_per_second if record.dense_speed else None,
            "pruned": record.pruned_speed.tokens_per_second if record.pruned_speed else None,
        },
        "bytes_on_disk": {
            "dense": record.dense_speed.bytes_on_disk if record.dense_speed else None,
            "pruned": record.pruned_speed.bytes_on_disk if record.pruned_speed else None,
        },
        "seconds": finished.seconds if finished else None,
        "peak_rss_bytes": finished.peak_rss_bytes if finished else None,
        "layers": [layer.model_dump(exclude={"kind"}) for layer in record.layers],
        "warnings": [warning.message for warning in record.warnings],
        "failure": record.failure.model_dump(exclude={"kind"}) if record.failure else None,
        "checkpoint": told(finished.checkpoint, policy) if finished else None,
        "device": record.model.device if record.model else None,
        "dtype": record.model.dtype if record.model else None,
        "hardware": record.model.hardware if record.model else None,
        "versions": record.model.versions if record.model else None,
    }
