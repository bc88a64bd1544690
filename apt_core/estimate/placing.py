"""Where a job's weights go, decided by free memory: passed to the executor with the job (`Place`).

In the worker's process, so torch may be asked.
"""

from __future__ import annotations

from pathlib import Path

import torch

from apt_core.base import hardware
from apt_core.estimate.asked import Walk
from apt_core.estimate.free import free_memory
from apt_core.estimate.memory import WeightsIn, peak_bytes, walk_for, working_bytes
from apt_core.estimate.preflight import is_known
from apt_core.jobs import Job
from apt_core.jobs.kinds import prunes
from apt_core.models.catalogue.facts import ModelFacts, folder_facts
from apt_core.models.load.placement import Placement, Room, Sizes, placement


def place(job: Job, folder: Path, dtype: torch.dtype, device: str) -> Placement:
    """What the job says of where the weights are; where it leaves that open, what has room."""
    if job.resources.weights == "disk":
        return Placement("disk", device, {})
    facts = _facts(job, folder)
    if not is_known(facts):
        return Placement("whole", device, {})
    from apt_core.models.load.skeleton import without_weights

    name = _name(dtype)
    sizes = Sizes(peak_bytes(job, facts, name, "memory"), working_bytes(job, facts, name))
    rooms, host_free = _rooms(device)
    found = placement(sizes, rooms, host_free, lambda: without_weights(folder, dtype))
    if found.kind == "disk" and job.resources.weights == "memory":
        return Placement("whole", device, {})
    return found


def choose_walk(job: Job, folder: Path) -> Walk:
    """How the calibration windows go through a block: halting unless only the two-pass walk has room."""
    facts = _facts(job, folder)
    if not prunes(job) or not is_known(facts):
        return "halting"
    device = hardware.choose_device(job.resources.device)
    dtype = hardware.choose_dtype(device, job.resources.dtype)
    placed = place(job, folder, dtype, device)
    rooms, _ = _rooms(device)
    weights_in: WeightsIn = "disk" if placed.kind == "disk" else "memory"
    return walk_for(job, facts, _name(dtype), weights_in, max(room.free for room in rooms))


def _facts(job: Job, folder: Path) -> ModelFacts:
    facts = folder_facts(folder, job.model.id, source="local folder")
    return facts.with_optional() if job.prunes_optional else facts


def _rooms(device: str) -> tuple[list[Room], int]:
    """The devices that may compute, and the free bytes of the machine's own memory."""
    host_free = free_memory()
    rooms = [Room(*gpu) for gpu in hardware.gpus()] if device == "cuda" else [Room(device, host_free)]
    return rooms, host_free


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
