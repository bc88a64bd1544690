"""What later runs can use of a run: the model that it made, the dense one behind it, a state to resume from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apt_core.base.errors import BadInput, NotAModel
from apt_core.execute.context import Made
from apt_core.execute.kept import KEPT_BY_TRAINING, TRAINING
from apt_core.jobs import ModelRef
from apt_core.models.checkpoint.headers import parse_json, read_metadata
from apt_core.runs.folders import Folders
from apt_core.runs.records import Records


def made_by(run_id: str, records: Records, folders: Folders) -> Made:
    """The model that a run made; raises BadInput with one sentence when it made none, or its weights are gone."""
    record, folder = records.get(run_id), folders.checkpoint(run_id)
    if record.live:
        raise BadInput(f"Run {run_id} has not finished yet; what it makes can be used once it has.")
    if folder is None or record.finished is None:
        raise BadInput(f"Run {run_id} has no pruned weights (any more); prune again.")
    title = record.model.title if record.model else record.job.model.id
    return Made(folder, f"{title} · {record.job.label}")


def dense_of(run_id: str, records: Records) -> ModelRef:
    """The model at the beginning of a run's lineage, which no run made; raises UnknownRun."""
    model = records.get(run_id).job.model
    while model.run is not None:
        model = records.get(model.run).job.model
    return model


def training_of(run_id: str, records: Records, folders: Folders) -> Path:
    """The folder with the state that a run has kept for resuming; raises BadInput where there is none."""
    record, folder = records.get(run_id), folders.run(run_id) / TRAINING
    if record.live:
        raise BadInput(f"Run {run_id} has not ended yet; it can be resumed once it has.")
    if not any(folder.glob("*.safetensors")):
        raise BadInput(f"Run {run_id} has kept no state to go on from; start a run of its own.")
    return folder


def bounds_reached(run_id: str, records: Records, folders: Folders) -> dict[str, Any]:
    """The fields of its job with which a run that stopped would have ended where it kept its state; none where that is
    before its first step. Raises BadInput where it has kept no state that can be read."""
    training_of(run_id, records, folders)
    file = folders.run(run_id) / KEPT_BY_TRAINING
    try:
        state = parse_json(read_metadata(file)["state"].encode(), "The state")
        return records.get(run_id).job.bounds_reached(state)
    except (NotAModel, LookupError, TypeError, ValueError, OSError) as error:
        raise BadInput(f"What run {run_id} kept to go on from cannot be read; start it again.") from error
