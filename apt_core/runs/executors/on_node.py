"""What a node of a cluster does: one job in a folder of its own, its events and files sent as they come.

Events go as JSON, files in pieces. A node keeps in its cache the models that it has fetched or been sent, and what the
runs of one study share; of what it was sent and what they share, APT_NODE_GB at most, and what was used longest ago
goes. The folder of a run goes with the task, that of a killed task with the next one.

`look` is asked beside a task, in a process of its own: whether the task lives, and what memory it holds.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from apt_core import __version__, execute
from apt_core import events as ev
from apt_core.base.errors import BadInput, UnknownModel
from apt_core.base.lazy import lazy
from apt_core.base.model_bounds import UNBOUNDED, ModelBounds
from apt_core.base.paths import cache_dir
from apt_core.base.policy import HostPolicy
from apt_core.estimate.free import all_memory
from apt_core.execute import Context
from apt_core.execute.context import Made
from apt_core.jobs import ModelRef, read_job
from apt_core.models.fetch import hub_token
from apt_core.runs import liveness, processes
from apt_core.runs.executors import node_kept
from apt_core.runs.executors.executor import number_above_zero
from apt_core.runs.executors.trace import traced

if TYPE_CHECKING:
    import ray

    from apt_core.estimate import placing
else:
    ray = lazy("ray")
    placing = lazy("apt_core.estimate.placing")

_PIECE_BYTES = 8_000_000
_KEPT_GB = 20.0


class Task(NamedTuple):
    """What a node is told: ids and JSON. token: of whoever asked for the run, for models that are not for everybody.
    bounds: how large a model may be that is fetched for the run."""

    version: str
    run: str
    job: str
    policy: str
    study: str | None
    token: str | None
    bounds: ModelBounds = UNBOUNDED


class Begun(NamedTuple):
    """The first word of a task: where it works. born: when its process was. sign: the file that it touches as long as
    it lives. memory_bytes: of the node's machine."""

    node: str
    pid: int
    born: float
    sign: str
    memory_bytes: int


class Life(NamedTuple):
    """What a look at a task finds. sign: when it was touched last, in the node's nanoseconds. held_bytes: memory."""

    sign: int
    held_bytes: int


class Piece(NamedTuple):
    """A part of a file: its path within the folder of the run, where the part begins, and its bytes."""

    path: str
    offset: int
    content: bytes

    def write_into(self, folder: Path) -> None:
        """Raises ValueError for a path that leaves the folder."""
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"the node sent a file with the path {self.path[:100]!r}")
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "r+b" if self.offset else "wb") as target:
            target.seek(self.offset)
            target.write(self.content)


class Parent(NamedTuple):
    """The model of another run. pieces: references to its `Piece`s in the cluster's memory. dense: id and revision of
    the model at the beginning of its lineage, None where a run of it is gone."""

    run: str
    title: str
    pieces: list[Any]
    dense: tuple[str, str | None] | None = None


class _OneParent(NamedTuple):
    """The store as far as a node knows it: the one run that this one starts from."""

    run: str | None
    made: Made | None
    dense: ModelRef | None

    def made_by(self, run_id: str) -> Made:
        if self.made is None or run_id != self.run:
            raise UnknownModel(f"There is no run {run_id[:40]} on this node.")
        return self.made

    def dense_of(self, run_id: str) -> ModelRef:
        if self.dense is None or run_id != self.run:
            raise UnknownModel(f"The dense model of run {run_id[:40]} is not known on this node.")
        return self.dense

    def training_of(self, run_id: str) -> Path:
        raise BadInput(
            f"What run {run_id[:40]} has kept to go on from is not sent to a cluster; start it again."
        )


def pieces_of(folder: Path) -> Iterator[Piece]:
    """Every file below a folder, in pieces."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        with open(file, "rb") as source:
            offset = 0
            while (content := source.read(_PIECE_BYTES)) or offset == 0:
                yield Piece(name, offset, content)
                offset += len(content)
                if not content:
                    break


def work(task: Task, parent: Parent | None) -> Iterator[Begun | str | Piece]:
    """Do the job of a task. Yields where it works, its events as JSON, and before the last one the files it made.

    Raises BadInput where the node's version of this package is another, and whatever the job raises.
    """
    if task.version != __version__:
        raise BadInput(
            f"The node has version {__version__} of apt-studio and the store {task.version}; install the same on all."
        )
    ours = _folder_for(task.run)
    ended = liveness.show_life(ours)
    try:
        yield _begun(ours)
        with ExitStack() as using:
            store = _OneParent(*_received(parent, using))
            shared = _shared(task.study, using) if task.study else None
            _make_room()
            yield from _done(task, ours / "run", store, shared)
    finally:
        hub_token.keep(None)
        ended()
        shutil.rmtree(ours, ignore_errors=True)


def look(begun: Begun) -> Life:
    """At a task of this node, from another process."""
    return Life(liveness.changed(Path(begun.sign)), processes.memory_of(begun.pid))


def end(begun: Begun) -> None:
    """Kill a task of this node that is stopped or hangs, from another process."""
    if processes.birth(begun.pid) == begun.born:
        os.kill(begun.pid, signal.SIGKILL)


def _begun(ours: Path) -> Begun:
    """Here: the folder of this task shows its life."""
    pid = os.getpid()
    return Begun(_node(), pid, processes.birth(pid) or 0.0, str(ours / liveness.SIGN), all_memory())


def _node() -> str:
    """Of the cluster; empty where there is none around this process."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


def _done(task: Task, folder: Path, store: _OneParent, shared: Path | None) -> Iterator[str | Piece]:
    hub_token.keep(task.token)
    folder.mkdir()
    job = read_job(task.job)
    context = Context.of(
        job,
        folder,
        HostPolicy.model_validate_json(task.policy),
        store,
        place=placing.place,
        walk=placing.choose_walk,
        shared=shared,
        bounds=task.bounds,
    )
    for event in traced(execute.run(job, context)):
        if isinstance(event, ev.Finished):
            yield from pieces_of(folder)
        yield event.model_dump_json()


def _shared(study: str, using: ExitStack) -> Path:
    return using.enter_context(node_kept.held(_studies() / study, lambda folder: None))


def _studies() -> Path:
    return cache_dir() / "studies"


def _of_runs() -> Path:
    return cache_dir() / "of-runs"


def _make_room() -> None:
    """Raises BadInput where APT_NODE_GB is not a number."""
    most = number_above_zero(os.environ, "APT_NODE_GB", _KEPT_GB)
    node_kept.keep_within((_of_runs(), _studies()), int(most * 1e9))


def _folder_for(run: str) -> Path:
    """An empty folder for this process; those of processes that are gone are removed."""
    nodes = cache_dir() / "at-work"
    nodes.mkdir(parents=True, exist_ok=True)
    for left in nodes.iterdir():
        pid = left.name.rpartition("-")[2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    folder = nodes / f"{run}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _received(parent: Parent | None, using: ExitStack) -> tuple[str | None, Made | None, ModelRef | None]:
    """The model that the task starts from, kept by this node for the next task that does, and for as long as `using`
    lasts. Of two tasks that start at once one fetches it and the other waits."""
    if parent is None:
        return None, None, None
    folder = using.enter_context(node_kept.held(_of_runs() / parent.run, partial(_fetch, parent.pieces)))
    dense = ModelRef(id=parent.dense[0], revision=parent.dense[1]) if parent.dense else None
    return parent.run, Made(folder, parent.title), dense


def _fetch(pieces: list[Any], folder: Path) -> None:
    for reference in pieces:
        ray.get(reference).write_into(folder)
