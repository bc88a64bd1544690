"""Every run that was ever asked for: made, read, cancelled and deleted here, from any process."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from apt_core import events as ev
from apt_core.base.errors import DISK_FULL_ERRNOS as NO_ROOM
from apt_core.base.errors import BadInput, UnknownRun
from apt_core.base.paths import data_dir, folder_bytes, index_dir
from apt_core.base.policy import LOCAL
from apt_core.events.records import RunRecord
from apt_core.execute.context import Made
from apt_core.jobs import Job, ModelRef
from apt_core.jobs.study import Asked, Study
from apt_core.runs import entries, from_folders, hiding, labels, lineage, studies_kept
from apt_core.runs.eventlog import EventLog
from apt_core.runs.folders import Folders
from apt_core.runs.ids import check_id
from apt_core.runs.index import Index
from apt_core.runs.labels import Labels
from apt_core.runs.making import Making
from apt_core.runs.query import Entry
from apt_core.runs.records import Records
from apt_core.runs.removal import Removal

_log = logging.getLogger(__name__)

List = list  # the store has a method of that name


class Held(NamedTuple):
    """What an owner has in the store."""

    runs: int
    n_bytes: int


class Store:
    """`root/runs.db` (or in APT_INDEX), `root/runs/<id>/`, `root/studies/<id>/`. Cheap to make; safe in threads and
    processes.

    No path that is written here names `root`, so the folder can be moved.
    """

    def __init__(self, root: Path | None = None, patience: float = 10.0):
        self._folders = folders = Folders(Path(root) if root is not None else data_dir())
        self.root, self.runs = folders.root, folders.runs
        self.index = Index(
            index_dir(self.root) / "runs.db", partial(from_folders.found_in, folders), patience
        )
        self._records = Records(folders, self.index)
        self._making = Making(folders, self.index, self._records)
        self._removal = Removal(folders, self.index, self._records)

    # --- making and ending -----------------------------------------------------------------------

    def create(self, job: Job, needs_our_token: bool = False, owner: str = LOCAL) -> str:
        """Put a run into the queue. Raises DiskFull, and leaves nothing behind, without room.

        needs_our_token: only this process can start it, because it alone knows a token of the Hub. owner: whose it is.
        """
        return self._making.create([job], needs_our_token, None, None, owner)[0]

    def create_study(
        self,
        kind: str,
        jobs: Sequence[Job],
        needs_our_token: bool = False,
        asked: Asked | None = None,
        owner: str = LOCAL,
    ) -> Study:
        """Put a run for each job into the queue, all or none of them, as one group.

        asked: the grid or the search that the jobs come from. owner: whose the group and its runs are.
        """
        study = self._making.create(jobs, needs_our_token, kind, asked, owner)[1]
        assert study is not None  # there is a kind
        return study

    def renew_study(self, study_id: str, needs_our_token: bool = False) -> Study:
        """Queue again what was cancelled, failed or deleted of a study: a new run takes the place of each.

        What the old run had done stays with it, outside of the study; one that never began goes. All or none of them;
        a study whose runs all wait, work or have finished is left as it is.
        """
        return self._making.renew_study(study_id, needs_our_token)

    def extend_study(self, known: Study, job: Job) -> Study | None:
        """Add a run of this job to a study; None when the study is not (any more) as `known` says."""
        return self._making.extend_study(known, job)

    def hold_study(self, known: Study, why: str) -> None:
        """Write into a study why its next run was not taken, unless it is not (any more) as `known` says."""
        self._making.hold_study(known, why)

    def cancel_study(self, study_id: str) -> None:
        """End every run of a study that waits or works; what waits goes first, so that none of it begins."""
        live = [record for record in self.runs_of(study_id) if record.live]
        for record in sorted(live, key=lambda record: record.status != "queued"):
            self.request_cancel(record.id)

    def append(self, run_id: str, event: ev.Event) -> ev.Stamped:
        """Add an event to the run's log. Raises DiskFull, UnknownRun when its folder is gone."""
        folder = self.folder(run_id)
        try:
            return EventLog(folder).append(_without_root(event, folder))
        except FileNotFoundError as error:
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.") from error
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise self._folders.disk_full() from error

    def request_cancel(self, run_id: str) -> None:
        """End a run: at once when it still waits, otherwise by asking its worker. Twice is once."""
        check_id(run_id)
        with self.index.write() as rows:
            row = rows.get(run_id)
            if row is None:
                raise UnknownRun(f"There is no run {run_id}.")
            if row.status == "queued":
                ended_at = self.append(run_id, ev.Cancelled(message="Taken out of the queue.")).at
                rows.update(run_id, status="cancelled", cancel_requested_at=ended_at, ended_at=ended_at)
            elif row.status == "running":
                rows.update(run_id, status="stopping", cancel_requested_at=time.time())

    def delete(self, run_id: str, orphan: bool = False) -> None:
        """Remove a run that has ended, with its weights, for good.

        Raises BadInput while it is queued or running, and when other runs were made from it, unless they may be
        orphaned (then they say that the run they were made from is gone) and none of them still needs its weights.
        """
        self._removal.delete(run_id, orphan)

    def hide(self, run_ids: Sequence[str]) -> None:
        """Take runs that have ended out of sight, all or none of them, as `delete` would; `restore` brings them back
        until they are swept."""
        self._removal.hide(run_ids)

    def hidden(self, owners: Sequence[str] | None = None) -> List[hiding.Hidden]:
        """The runs that can still be brought back, the last to be hidden first. owners: whose; None for everybody's."""
        return self._removal.hidden(owners)

    def restore(self, run_ids: Sequence[str], owners: Sequence[str] | None = None) -> List[str]:
        """Bring hidden runs back; returns those that were still there."""
        return self._removal.restore(run_ids, owners)

    def sweep(self) -> None:
        """Remove for good what has been hidden for long enough."""
        self._removal.sweep()

    def label(self, run_id: str, **changes: Any) -> Labels:
        """Write a name, tags, a note or a pin on a run; what is not named stays. Raises UnknownRun, BadInput."""
        folder = self.folder(run_id)
        with self.index.write() as rows:  # one at a time, and nobody deletes it meanwhile
            if rows.get(run_id) is None:
                raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
            written = Labels(**(labels.read(folder).model_dump() | changes))
            try:
                labels.write(folder, written)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                raise self._folders.disk_full() from error
        return written

    def keep_within(self, cap: int) -> list[str]:
        """Remove the weights of the oldest runs until all fit in `cap` bytes; returns whose went."""
        return self._removal.keep_within(cap)

    # --- reading ---------------------------------------------------------------------------------

    def get(self, run_id: str) -> RunRecord:
        """The run as it is now; raises UnknownRun."""
        return self._records.get(run_id)

    def list(self, limit: int = 200, owners: Sequence[str] | None = None) -> List[RunRecord]:
        """The newest runs, newest first. A run that this version cannot read is left out and logged. owners: whose;
        None for everybody's."""
        with self.index.read() as rows:
            newest = rows.newest(limit, owners)
        return self._records.readable(newest)

    def entries(self, owners: Sequence[str] | None = None) -> List[Entry]:
        """Every run as lists know it, with what people wrote on it, newest first. Reads the logs of live runs, and of
        ended ones once. owners: whose; None for everybody's."""
        return entries.entries(self._folders, self.index, self._records, owners)

    def records(self, run_ids: Sequence[str]) -> List[RunRecord]:
        """These runs in this order; one that is gone is left out, as is (logged) one that this version cannot read."""
        with self.index.read() as rows:
            found = [row for run_id in run_ids if (row := rows.get(run_id)) is not None]
        return self._records.readable(found)

    def labels_of(self, run_id: str) -> Labels:
        """What people wrote on a run; nothing on one that does not exist."""
        return labels.read(self.folder(run_id))

    def owner_of(self, run_id: str) -> str:
        """Whose run it is; raises UnknownRun."""
        return self._records.row(run_id).owner

    def bytes_of(self, owners: Sequence[str]) -> int:
        """What the runs of these owners hold on the disk."""
        return sum(held.n_bytes for held in self.use(owners).values())

    def use(self, owners: Sequence[str] | None = None) -> dict[str, Held]:
        """Owner -> how many runs they have, and what those hold on the disk. owners: whose; None for everybody's."""
        with self.index.read() as rows:
            found = rows.newest(-1, owners)
        held: dict[str, Held] = {}
        for row in found:
            before = held.get(row.owner, Held(0, 0))
            held[row.owner] = Held(before.runs + 1, before.n_bytes + self._bytes(row.id))
        return held

    def _bytes(self, run_id: str) -> int:
        try:
            return folder_bytes(self.folder(run_id))
        except OSError:  # it is being deleted
            return 0

    def live(self) -> List[RunRecord]:
        """The runs that work, then those that wait in the order in which they will begin. One that this version cannot
        read is left out and logged; it fails with a sentence when its turn comes."""
        with self.index.read() as rows:
            found = [*rows.active(), *rows.queue()]
        return self._records.readable(found)

    def study(self, study_id: str) -> Study:
        """Raises UnknownRun where there is none."""
        return studies_kept.read(self._folders.studies, study_id)

    def studies(self, limit: int = 100) -> List[Study]:
        """The newest first; one that this version cannot read is left out and logged."""
        with self.index.read() as rows:
            newest = rows.studies(limit)
        found = []
        for row in newest:
            try:
                found.append(self.study(row.id))
            except BadInput as error:
                _log.warning("%s", error)
        return found

    def runs_of(self, study_id: str) -> List[RunRecord]:
        """The runs of a study that are still there, in its order."""
        with self.index.read() as rows:
            found = rows.of_study(study_id)
        try:
            order = {run_id: place for place, run_id in enumerate(self.study(study_id).runs)}
        except (BadInput, UnknownRun):  # torn: its runs are not hidden for that
            order = {}
        return self._records.readable(sorted(found, key=lambda row: order.get(row.id, len(order))))

    def made_from(self, run_id: str) -> List[RunRecord]:
        """The runs whose model this run made, as they were asked for."""
        with self.index.read() as rows:
            found = rows.made_from(check_id(run_id))
        return self._records.readable(found)

    def shared_folder(self, study_id: str) -> Path:
        """Where the runs of a study keep for one another what is the same for all of them."""
        return self._folders.studies / check_id(study_id) / "shared"

    def forget_shared(self, study_id: str) -> None:
        """Remove that once no run of the study waits or works; a later run of it computes it again."""
        if not any(record.live for record in self.runs_of(study_id)):
            shutil.rmtree(self.shared_folder(study_id), ignore_errors=True)

    def made_by(self, run_id: str) -> Made:
        """The model that a run made; raises BadInput with one sentence when it made none, or its weights are gone."""
        return lineage.made_by(run_id, self._records, self._folders)

    def dense_of(self, run_id: str) -> ModelRef:
        """The model at the beginning of a run's lineage, which no run made; raises UnknownRun."""
        return lineage.dense_of(run_id, self._records)

    def training_of(self, run_id: str) -> Path:
        """The folder with the state that a run has kept for resuming; raises BadInput where there is none."""
        return lineage.training_of(run_id, self._records, self._folders)

    def bounds_reached(self, run_id: str) -> dict[str, Any]:
        """The fields of its job with which a run that stopped would have ended where it kept its state; raises
        BadInput where it has kept none."""
        return lineage.bounds_reached(run_id, self._records, self._folders)

    def events_since(self, run_id: str, seq: int = -1) -> List[ev.Stamped]:
        """The events numbered above `seq`; raises UnknownRun."""
        log = EventLog(self.folder(run_id))
        if not log.path.exists():
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
        return log.read(after=seq)

    def position(self, run_id: str) -> int | None:
        """0 while it runs, 1 when it is next in the queue, 2 after that ...; None once it has ended."""
        check_id(run_id)
        with self.index.read() as rows:
            row = rows.get(run_id)
            if row is None:
                raise UnknownRun(f"There is no run {run_id}.")
            if row.status in ("running", "stopping"):
                return 0
            waiting = [other.id for other in rows.queue()]
        return waiting.index(run_id) + 1 if run_id in waiting else None

    def folder(self, run_id: str) -> Path:
        return self._folders.run(run_id)

    def checkpoint(self, run_id: str) -> Path | None:
        """The pruned weights of a run, None when it has none (any more)."""
        return self._folders.checkpoint(run_id)

    def came_with_token(self, run_id: str) -> bool:
        """Whether the run was asked for with a Hub token of a visitor, for a model that is not for everybody, or was
        made from such a run."""
        return self._folders.came_with_token(run_id)

    def cancel_requested(self, run_id: str) -> bool:
        with self.index.read() as rows:
            row = rows.get(run_id)
        return row is None or row.cancel_requested_at is not None


def _without_root(event: ev.Event, folder: Path) -> ev.Event:
    """What is stored names the checkpoint within the run's folder, so that the store can be moved."""
    if not isinstance(event, ev.Finished) or not event.checkpoint:
        return event
    place = Path(event.checkpoint)
    inside = place.relative_to(folder) if place.is_relative_to(folder) else place
    return event.model_copy(update={"checkpoint": str(inside)})
