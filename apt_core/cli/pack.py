"""`pack` and `unpack`: pruned weights as a bit mask and kept values, and back."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from apt_core.base import words
from apt_core.base.errors import BadInput, DiskFull
from apt_core.base.lazy import lazy
from apt_core.base.policy import HostPolicy
from apt_core.cli.output import print_json
from apt_core.jobs import ModelRef
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.models.fetch.sources import local_path
from apt_core.reports.writing import JOB_COPY, free_folder
from apt_core.runs.ids import is_run_id
from apt_core.runs.store import Store

if TYPE_CHECKING:
    from apt_core.models.checkpoint import packed
    from apt_core.models.checkpoint.packed import Packed
else:
    packed = lazy("apt_core.models.checkpoint.packed")


class _NothingWritten(DiskFull):
    """Nothing was started that would go on, so it counts as a request that cannot work."""

    exit_status: ClassVar[int] = 2


def pack(options: argparse.Namespace) -> int:
    return _write(options, lambda source, out: packed.pack_folder(source, out))


def unpack(options: argparse.Namespace) -> int:
    return _write(options, lambda source, out: packed.unpack_folder(source, out))


def _write(options: argparse.Namespace, how: Callable[[Path, Path], Packed]) -> int:
    out = free_folder(options.out)
    source, job = _source(options.source, options.policy)
    with _full_disk_refused():
        done = how(source, out)
        if job is not None:
            (out / JOB_COPY).write_text(job, encoding="utf-8")
    if options.json:
        print_json(_as_json(done))
    else:
        print(_as_text(done))
    return 0


@contextmanager
def _full_disk_refused() -> Iterator[None]:
    try:
        yield
    except DiskFull as error:
        raise _NothingWritten(str(error)) from error


def _source(named: str, policy: HostPolicy) -> tuple[Path, str | None]:
    """The folder that a run or a path names, and the run's job as it lies beside its copies."""
    if is_run_id(named) or named.startswith(RUN_PREFIX):
        run_id = ModelRef(id=named).run or named
        store = Store()
        return store.made_by(run_id).folder, store.get(run_id).job.model_dump_json(indent=2)
    if (folder := local_path(named, policy)) is None:
        raise BadInput(f"There is no run and no folder called '{named[:60]}'; 'runs list' shows the runs.")
    return folder, None


def _as_json(done: Packed) -> dict[str, object]:
    return {
        "folder": str(done.folder),
        "bytes": {"before": done.before, "after": done.after},
        "ratio": done.after / done.before,
        "tensors": done.forms,
    }


def _as_text(done: Packed) -> str:
    line = (
        f"{words.size(done.before)} became {words.size(done.after)} "
        f"({words.percent(done.after / done.before)}) in {done.folder}"
    )
    forms = ", ".join(f"{count} as {form}" for form, count in done.forms.items() if form != "as they are")
    left = done.forms.get("as they are", 0)
    return f"{line}\nTensors: {forms or 'none packed'}, {left} as they are" if done.forms else line
