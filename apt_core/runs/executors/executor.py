"""What an executor is: how many runs may run at once, and how the job of one is done. No torch."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple, Protocol

from apt_core.base.errors import BadInput
from apt_core.base.values import Frozen
from apt_core.events import Event
from apt_core.execute import Context
from apt_core.jobs import Job


class Demand(Frozen):
    """The estimate of what a run takes. memory_bytes: its worker's peak, None where nobody knows the model's size."""

    memory_bytes: int | None = None


class Seat(Frozen):
    """The place of a run, written into its folder. number: from 0, different for runs that run at the same time."""

    number: int = 0
    demand: Demand = Demand()


class AtWork(NamedTuple):
    """A run that is running. held_bytes: the memory that it has taken so far."""

    seat: Seat
    held_bytes: int


class Places(NamedTuple):
    """at_once: the most runs at work; apart: whether each has cores or a GPU of its own, so that none slows another
    down; on_nodes: whether each takes the memory of a node of a cluster, not of this machine."""

    at_once: int = 1
    apart: bool = False
    on_nodes: bool = False


class Executor(Protocol):
    """One way to do runs."""

    def words(self) -> str:
        """Where runs are done, for the page: 'on this machine, one at a time'."""
        ...

    def places(self) -> Places:
        """How many runs may be at work at once, and whether they share what they work with."""
        ...

    def wants_demand(self) -> bool:
        """Whether `seat` depends on the estimate of a run, which may take a look at its model."""
        ...

    def seat(self, demand: Demand, at_work: Sequence[AtWork]) -> Seat | None:
        """Where a run may start beside those that are running; None while it has to wait for one of them."""
        ...

    def call_seconds(self) -> float | None:
        """How long one call of a visitor's page may work on a run, where runs are done in such calls; None where the
        queue starts a worker for each run."""
        ...

    def environment(self, seat: Seat) -> Mapping[str, str]:
        """The environment of a worker in that seat, besides that of every worker."""
        ...

    def do(self, job: Job, context: Context) -> Generator[Event, None, None]:
        """Do the job, in its worker process; as `apt_core.execute.run`."""
        ...


def free_number(at_work: Sequence[AtWork]) -> int:
    """The lowest number of a seat that nobody has."""
    taken = {one.seat.number for one in at_work}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def runs_at_once(environment: Mapping[str, str], usual: int) -> int:
    """APT_AT_ONCE, or `usual`. Raises BadInput where it is no whole number from 1 to 1000."""
    text = environment.get("APT_AT_ONCE", "")
    if not text:
        return usual
    if not (text.isdecimal() and text.isascii() and 1 <= int(text[:9]) <= 1000):
        raise BadInput(f"APT_AT_ONCE is {text[:20]!r}; give a whole number of runs from 1 to 1000.")
    return int(text)


def number_above_zero(environment: Mapping[str, str], name: str, usual: float) -> float:
    """A number of the environment. Raises BadInput where it is none, or not above zero."""
    text = environment.get(name, "")
    try:
        value = float(text) if text else usual
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadInput(f"{name} is {text[:20]!r}; give a number above 0, such as {usual:g}.")
    return value
