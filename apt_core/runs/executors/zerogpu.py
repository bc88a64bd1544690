"""Runs on a ZeroGPU Space: a GPU is there only within calls that a visitor's own page makes, each of limited time.

Who calls is `ui.gpu_calls`; what a call does is `runs.in_calls`. The queue starts nothing: a run waits until
the page of its visitor is open. On a Space with that hardware it is the default executor.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

from apt_core import execute
from apt_core.events import Event
from apt_core.execute import Context
from apt_core.jobs import Job
from apt_core.runs.executors.executor import AtWork, Demand, Places, Seat, number_above_zero
from apt_core.runs.executors.trace import traced

NAME = "zerogpu"
_SECONDS = 60.0  # what a Space allows without asking for more
_QUOTA = "the GPU time is your own (2 minutes a day, with an account 5, with PRO 40)"  # Hugging Face, November 2026


class ZeroGpuExecutor(NamedTuple):
    """seconds: of GPU time that one call asks for."""

    seconds: float = _SECONDS

    def words(self) -> str:
        return f"on a ZeroGPU, in calls of up to {self.seconds:g} s while this page is open; {_QUOTA}"

    def places(self) -> Places:
        return Places()

    def wants_demand(self) -> bool:
        return False

    def seat(self, demand: Demand, at_work: Sequence[AtWork]) -> Seat | None:
        return None

    def call_seconds(self) -> float | None:
        return self.seconds

    def environment(self, seat: Seat) -> Mapping[str, str]:
        return {}

    def do(self, job: Job, context: Context) -> Generator[Event, None, None]:
        return traced(execute.run(job, context))


def executor(environment: Mapping[str, str]) -> ZeroGpuExecutor:
    """APT_GPU_CALL_SECONDS, 60 by default. Raises BadInput."""
    return ZeroGpuExecutor(number_above_zero(environment, "APT_GPU_CALL_SECONDS", _SECONDS))
