"""The store kept packed: `python -m apt_core.runs.packer`, which the app starts when nothing runs.

The weights of the runs that ended some minutes ago become bit masks and kept values, bit for bit, one run after the
other and at the lowest priority. It stops as soon as a run waits or works. What has just finished stays plain for a
while, so that other programs can open it where it lies.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from apt_core.base import logs
from apt_core.base.errors import PruneError
from apt_core.base.lazy import lazy
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.runs.store import Store

if TYPE_CHECKING:
    from apt_core.models.checkpoint import packed
else:
    packed = lazy("apt_core.models.checkpoint.packed")

COMMAND = (sys.executable, "-m", "apt_core.runs.packer")
REST_SECONDS = 600.0  # after its end a run stays as it is
LEAST_SPARSITY = 0.1  # below, a mask costs about as much as the zeros
_IDLE = 19  # the lowest priority
_log = logging.getLogger(__name__)


class Done(NamedTuple):
    """A run whose weights were packed; bytes before and after."""

    run: str
    before: int
    after: int


def packable(store: Store, rest_seconds: float = REST_SECONDS) -> list[str]:
    """The finished runs, oldest first, whose weights are plain and would become smaller."""
    with store.index.read() as rows:
        ended = [row for row in rows.newest(-1) if row.status == "finished"]
    before = time.time() - rest_seconds
    return [row.id for row in reversed(ended) if (row.ended_at or 0) <= before and _profits(store, row.id)]


def pack_runs(store: Store, rest_seconds: float = REST_SECONDS) -> Iterator[Done]:
    """Pack what can be packed, until a run waits or works. What cannot be packed stays plain, and is logged."""
    for run_id in packable(store, rest_seconds):
        if store.live():
            return
        folder = store.checkpoint(run_id)
        try:
            if folder is not None:
                done = packed.pack_in_place(folder)
                yield Done(run_id, done.before, done.after)
        except (PruneError, OSError) as error:  # deleted meanwhile, a full disk: the plain weights are there
            _log.warning("The weights of run %s stay plain: %s", run_id, error)


def _profits(store: Store, run_id: str) -> bool:
    """Whether this run has plain weights, or what packing left of them, and enough zeros."""
    folder = store.checkpoint(run_id)
    if folder is None or (checkpoints.is_packed(folder) and not _left_over(folder)):
        return False
    with contextlib.suppress(PruneError):
        finished = store.get(run_id).finished
        return finished is not None and (finished.sparsity or 0.0) >= LEAST_SPARSITY
    return False


def _left_over(folder: Path) -> bool:
    """Whether plain files lie beside the packed ones, of a call that was stopped."""
    try:
        return any((folder / name).exists() for name in checkpoints.read_packing(folder).files)
    except (PruneError, OSError):
        return False


def main() -> int:
    with contextlib.suppress(OSError):
        os.nice(_IDLE)
    for done in pack_runs(Store()):
        _log.info("Packed the weights of %s: %d of %d bytes.", done.run, done.after, done.before)
    return 0


if __name__ == "__main__":
    logs.set_up_child(os.environ)
    sys.exit(main())
