"""Runs on an existing Ray cluster: each is one task with its demand of cores, memory and GPUs (`.[ray]`).

    APT_EXECUTOR=ray APT_RAY_ADDRESS=10.0.0.5:6379 python app.py

The worker process of a run here is the task's driver: events and the files that the run makes stream into the store
here, so that the nodes need no folder in common. A node that is lost takes its task with it: the run begins again on
another node, once, and says so. A task that shows no sign of life, or holds more memory than a run may, is ended there
(`ray_watch`). Nodes need this package, in the same version; each keeps the models that it has fetched, and what the
runs of a study share.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic import TypeAdapter

from apt_core import __version__
from apt_core import events as ev
from apt_core.base.errors import BadInput, NotReachable, OutOfMemory, PruneError, Silent
from apt_core.base.lazy import lazy
from apt_core.base.policy import HostPolicy
from apt_core.execute import Context
from apt_core.jobs import Job
from apt_core.models.fetch import hub_token
from apt_core.runs.executors import on_node
from apt_core.runs.executors.executor import (
    AtWork,
    Demand,
    Places,
    Seat,
    free_number,
    number_above_zero,
    runs_at_once,
)
from apt_core.runs.executors.ray_watch import Watch
from apt_core.runs.liveness import RunLimits
from apt_core.runs.quotas import Quotas

if TYPE_CHECKING:
    import ray
else:
    ray = lazy("ray")

NAME = "ray"
STAGE = "cluster"  # of the Progress events while a task waits for a node
_AT_ONCE = 16
_CORES = 2.0
_LOOK_EVERY_SECONDS = 1.0
_KNOCK_SECONDS = 5.0
_STOP_SECONDS = 5.0  # that a cancelled task has to tidy up
_EVENT: TypeAdapter[Any] = TypeAdapter(cast(Any, ev.Event))  # a union, which older type checkers refuse


class RayExecutor(NamedTuple):
    """address: of the cluster's head; cores: that a task takes of a node."""

    address: str
    at_once: int = _AT_ONCE
    cores: float = _CORES

    def words(self) -> str:
        return f"on a Ray cluster, up to {self.at_once} at once"

    def places(self) -> Places:
        """Tasks that find no room on a node wait there, so these are at most so many; each has its cores."""
        return Places(self.at_once, apart=True, on_nodes=True)

    def wants_demand(self) -> bool:
        return True

    def seat(self, demand: Demand, at_work: Sequence[AtWork]) -> Seat | None:
        """The cluster decides which task begins when; here is only a bound on the processes that wait for it."""
        if len(at_work) >= self.at_once:
            return None
        return Seat(number=free_number(at_work), demand=demand)

    def call_seconds(self) -> float | None:
        return None

    def environment(self, seat: Seat) -> Mapping[str, str]:
        memory = seat.demand.memory_bytes
        return {_MEMORY: str(memory)} if memory else {}

    def do(self, job: Job, context: Context) -> Generator[ev.Event, None, None]:
        with _cluster(self.address):
            yield from _twice_at_most(job, context, self._needs(job))

    def _needs(self, job: Job) -> dict[str, float]:
        """What the task asks of its node. Raises BadInput where no node has as much."""
        needs: dict[str, float] = {"CPU": self.cores, "memory": float(os.environ.get(_MEMORY) or 0)}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if job.resources.device == "cuda" or (
            job.resources.device == "auto" and any(node.get("GPU") for node in nodes)
        ):
            needs["GPU"] = 1.0
        if not any(all(node.get(what, 0) >= amount for what, amount in needs.items()) for node in nodes):
            raise BadInput(f"No node of the cluster has {_said(needs)}; add one, or choose a smaller model.")
        return needs


_MEMORY = "APT_RUN_DEMAND_BYTES"


def executor(environment: Mapping[str, str]) -> RayExecutor:
    """APT_RAY_ADDRESS (by default the cluster of this machine), APT_AT_ONCE, APT_RAY_CORES. Raises BadInput."""
    address = environment.get("APT_RAY_ADDRESS") or "auto"
    if "://" in address:
        raise BadInput(
            f"APT_RAY_ADDRESS is {address[:60]!r}; give the head's own address, such as 10.0.0.5:6379."
        )
    return RayExecutor(
        address,
        runs_at_once(environment, _AT_ONCE),
        number_above_zero(environment, "APT_RAY_CORES", _CORES),
    )


def _said(needs: Mapping[str, float]) -> str:
    memory = f" and {needs['memory'] / 1e9:.1f} GB of memory" if needs["memory"] else ""
    gpu = ", a GPU" if "GPU" in needs else ""
    return f"{needs['CPU']:g} cores{gpu}{memory} in one place"


# ---- the cluster


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Connected to the cluster. Raises BadInput without Ray, NotReachable where nobody answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would send figures to its makers
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except ImportError as error:
        raise BadInput(
            "Ray is not installed here; install it with pip install '.[ray]', or unset APT_EXECUTOR."
        ) from error
    except Exception as error:  # a dozen kinds, from ConnectionError to RuntimeError and ValueError
        raise NotReachable(
            f"No Ray cluster answers at {address}; start one with `ray start --head`, or set APT_RAY_ADDRESS."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens; Ray itself would wait for ever."""
    host, separator, port = address.rpartition(":")
    if separator and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


class _NodeLost(Exception):
    """The task went with its node, or was killed there."""


def _twice_at_most(job: Job, context: Context, needs: Mapping[str, float]) -> Generator[ev.Event, None, None]:
    try:
        yield from _task(job, context, needs)
    except _NodeLost as error:
        yield ev.Restarted(
            message=f"The node that worked on this run was lost ({error}); it began again on another."
        )
        try:
            yield from _task(job, context, needs)
        except _NodeLost as again:
            raise NotReachable(
                f"The cluster lost the run twice ({again}); look at its nodes (`ray status`), then start it again."
            ) from again


def _task(job: Job, context: Context, needs: Mapping[str, float]) -> Generator[ev.Event, None, None]:
    """The events of one task; the files that it sends are written as they come."""
    stream, watch = _submit(job, context, needs), Watch(partial(_limits, context.policy))
    progress = ev.Progress(stage=STAGE, done=0, total=1)
    over = False
    try:
        for item in _items(stream):
            if why := watch.why_to_end():
                _end(stream, watch, why)
                raise why
            if isinstance(item, on_node.Begun):
                watch.begin(item)
            elif isinstance(item, on_node.Piece):
                item.write_into(context.folder)
            elif item is None:
                yield progress  # again: a moment in which the run may be stopped
            else:
                event = _here(_EVENT.validate_json(item), context.folder)
                watch.hear(event)
                progress = event if isinstance(event, ev.Progress) else progress
                yield event
        over = True
    except (PruneError, OSError, MemoryError, _NodeLost):
        over = True
        raise
    finally:
        if not over:
            _stop(stream)


def _limits(policy: HostPolicy, machine_bytes: int) -> RunLimits:
    """Of a run on a node with so much memory; how long it may take is judged by whoever started its worker."""
    return RunLimits.of(policy, os.environ, Quotas(), machine_bytes)


def _submit(job: Job, context: Context, needs: Mapping[str, float]) -> Any:
    remote = ray.remote(on_node.work).options(
        num_returns="streaming",
        num_cpus=needs["CPU"],
        memory=needs["memory"] or None,
        num_gpus=needs.get("GPU", 0),
        max_retries=0,
        _generator_backpressure_num_objects=32,
    )
    task = on_node.Task(
        version=__version__,
        run=context.folder.name,
        job=job.model_dump_json(),
        policy=context.policy.model_dump_json(),
        study=context.shared.parent.name if context.shared else None,
        token=hub_token.handed(),
        bounds=context.bounds,
    )
    return remote.remote(task, _parent(job, context))


def _parent(job: Job, context: Context) -> Any:
    """The model of another run that this one starts from, put into the cluster's memory in pieces."""
    if job.model.run is None:
        return None
    made = context.made_by(job.model.run)
    pieces = [ray.put(piece) for piece in on_node.pieces_of(made.folder)]
    try:
        dense = context.dense_of(job.model.run)
    except PruneError:  # a run of the lineage is gone: only a recovery asks for it, and says so
        return on_node.Parent(job.model.run, made.title, pieces)
    return on_node.Parent(job.model.run, made.title, pieces, (dense.id, dense.revision))


def _items(stream: Any) -> Iterator[Any]:
    """What the task yields, and None once in a while as long as it says nothing."""
    while True:
        ready, _ = ray.wait([stream], timeout=_LOOK_EVERY_SECONDS)
        if not ready:
            yield None
            continue
        try:
            reference = next(stream)
        except StopIteration:
            return
        yield _fetched(reference)


def _fetched(reference: Any) -> Any:
    """One item; the task's own errors as they were raised there, the cluster's in words."""
    try:
        return ray.get(reference)
    except ray.exceptions.OutOfMemoryError as error:
        raise OutOfMemory(
            "The memory of the node was not enough; use fewer or shorter calibration samples, or a smaller model."
        ) from error
    except ray.exceptions.RayTaskError as error:
        raise _cause(error) from error
    except ray.exceptions.RayError as error:
        raise _NodeLost(type(error).__name__) from error


def _cause(error: Any) -> Exception:
    cause = error.cause
    if isinstance(cause, ModuleNotFoundError) and "apt_core" in str(cause):
        return BadInput("The cluster's nodes do not have this package; install apt-studio on each of them.")
    return cause if isinstance(cause, PruneError | OSError | MemoryError) else error


def _here(event: ev.Event, folder: Path) -> ev.Event:
    """An event of the node as it is here: what was made lies in this store."""
    if isinstance(event, ev.Finished) and event.checkpoint:
        return event.model_copy(update={"checkpoint": str(folder / "checkpoint")})
    return event


def _end(stream: Any, watch: Watch, why: PruneError) -> None:
    """End a task that has broken a limit, also one that hears nothing."""
    if isinstance(why, Silent):
        with suppress(Exception):  # the cluster may be gone
            watch.end()
    _stop(stream)


def _stop(stream: Any) -> None:
    """End a task that still works: it has a moment to tidy up."""
    with suppress(Exception):  # the cluster may be gone
        ray.cancel(stream)
        deadline = time.monotonic() + _STOP_SECONDS
        while not stream.is_finished() and time.monotonic() < deadline:
            time.sleep(0.1)
        if not stream.is_finished():
            ray.cancel(stream, force=True)
