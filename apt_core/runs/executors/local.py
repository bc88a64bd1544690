"""Runs on this machine: one at a time, or several where it has several GPUs, or many cores and somebody says so.

With APT_AT_ONCE=4 four workers share the cores evenly, each with a GPU of its own as far as there are some. A run
starts beside others when the memory of its estimate is free even after those that are running have taken what they
still will; one whose needs nobody knows has the machine to itself.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from apt_core import execute
from apt_core.base import cpu
from apt_core.estimate.free import free_memory
from apt_core.events import Event
from apt_core.execute import Context
from apt_core.jobs import Job
from apt_core.runs.executors.executor import AtWork, Demand, Places, Seat, free_number, runs_at_once
from apt_core.runs.executors.trace import traced

NAME = "local"
_NVIDIA = Path("/proc/driver/nvidia/gpus")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class LocalExecutor(NamedTuple):
    """at_once: the most runs at the same time; gpus: names of the CUDA devices that workers may use, one each."""

    at_once: int = 1
    gpus: tuple[str, ...] = ()
    cores: int = 1

    def words(self) -> str:
        if self.at_once == 1:
            return "on this machine, one at a time"
        each = f", a GPU each for {len(self.gpus)}" if len(self.gpus) > 1 else ""
        return f"on this machine, up to {self.at_once} at once{each}"

    def places(self) -> Places:
        return Places(self.at_once, apart=1 < self.at_once <= len(self.gpus))

    def wants_demand(self) -> bool:
        return self.at_once > 1

    def seat(self, demand: Demand, at_work: Sequence[AtWork]) -> Seat | None:
        if not at_work:
            return Seat(demand=demand)
        if len(at_work) >= self.at_once or not _fits(demand, at_work):
            return None
        return Seat(number=free_number(at_work), demand=demand)

    def call_seconds(self) -> float | None:
        return None

    def environment(self, seat: Seat) -> Mapping[str, str]:
        if self.at_once == 1:
            return {}
        threads = str(max(self.cores // self.at_once, 1))
        found = {name: threads for name in _THREADS if name not in os.environ}
        if len(self.gpus) > 1:
            found["CUDA_VISIBLE_DEVICES"] = self.gpus[seat.number % len(self.gpus)]
        return found

    def do(self, job: Job, context: Context) -> Generator[Event, None, None]:
        return traced(execute.run(job, context))


def executor(environment: Mapping[str, str]) -> LocalExecutor:
    """As many at once as APT_AT_ONCE says, by default one for each GPU (CUDA_VISIBLE_DEVICES, else all)."""
    gpus = _gpus(environment)
    return LocalExecutor(runs_at_once(environment, max(len(gpus), 1)), gpus, cpu.usable_cores())


def _fits(demand: Demand, at_work: Sequence[AtWork]) -> bool:
    """Whether the memory is there once those that are running have taken all that they will."""
    still_to_come = 0
    for one in at_work:
        if one.seat.demand.memory_bytes is None:
            return False
        still_to_come += max(one.seat.demand.memory_bytes - one.held_bytes, 0)
    return demand.memory_bytes is not None and demand.memory_bytes <= free_memory() - still_to_come


def _gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The CUDA devices that workers may use, found without torch: the driver's own list (Linux)."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name for part in visible.split(",") if (name := part.strip()) and name != "-1")
    return tuple(str(number) for number in range(len(list(_NVIDIA.glob("*")))))
