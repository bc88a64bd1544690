"""Records of runs: the fold of each log, with what only the index knows. Of those seen last it is kept in memory."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from apt_core import events as ev
from apt_core.base.errors import BadInput, UnknownRun
from apt_core.events.records import LIVE, RunRecord, fold
from apt_core.jobs import read_job
from apt_core.runs.eventlog import EventLog
from apt_core.runs.folders import Folders, read_job_file
from apt_core.runs.ids import check_id
from apt_core.runs.index import Index, Row

_log = logging.getLogger(__name__)
_MAX_SEEN = 400  # more than `Store.list` gives at once, so that a second look reads no log again


class Records:
    """Safe in threads."""

    def __init__(self, folders: Folders, index: Index):
        self._folders, self._index = folders, index
        # The record so far of the runs seen last, and the bytes of the log that it covers.
        self._seen: OrderedDict[str, tuple[RunRecord, int]] = OrderedDict()
        self._parents: dict[str, str | None] = {}  # run -> the one that made its model, which never changes
        self._lock = threading.Lock()

    def get(self, run_id: str) -> RunRecord:
        """The run as it is now; raises UnknownRun."""
        return self.of(self.row(run_id))

    def row(self, run_id: str) -> Row:
        """Raises UnknownRun."""
        check_id(run_id)
        with self._index.read() as rows:
            row = rows.get(run_id)
        if row is None:
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
        return row

    def readable(self, found: Iterable[Row]) -> list[RunRecord]:
        """One that this version cannot read is left out and logged."""
        records = []
        for row in found:
            try:
                records.append(self.of(row))
            except BadInput as error:
                _log.warning("%s", error)
        return records

    def of(self, row: Row) -> RunRecord:
        """The fold of the log, with what only the index knows (queued, running, stopping)."""
        record = self._folded(row)
        changes: dict[str, object] = {}
        if record.status in LIVE:
            changes["status"] = row.status
        if changes.get("status", record.status) == "failed" and record.failure is None:
            changes |= {"failure": _UNSAID, "ended_at": row.ended_at}
        if record.owner != row.owner:  # its first line is torn
            changes["owner"] = row.owner
        if record.study != (row.study or ""):  # another run has taken its place in the study
            changes["study"] = row.study or ""
        if row.made_from:
            changes["lineage"] = self._lineage(row.made_from)
            if not self._folders.run(row.made_from).exists():
                changes["orphaned"] = True
        if record.finished and record.finished.checkpoint:
            here = str(self._folders.run(row.id) / Path(record.finished.checkpoint).name)
            changes["finished"] = record.finished.model_copy(update={"checkpoint": here})
        return record.model_copy(update=changes) if changes else record

    def _lineage(self, parent: str) -> tuple[str, ...]:
        """This run and those that its model goes back to, as their folders tell it; it ends at one that is gone."""
        found: list[str] = []
        next_up: str | None = parent
        while next_up is not None and next_up not in found:
            found.append(next_up)
            next_up = self._made_from(next_up)
        return tuple(found)

    def _made_from(self, run_id: str) -> str | None:
        """None also where the run is gone or cannot be read."""
        folder = self._folders.run(run_id)
        if not folder.exists():
            return None
        if run_id not in self._parents:
            try:
                self._parents[run_id] = read_job(read_job_file(folder)).model.run
            except (OSError, ValueError, BadInput):  # torn UTF-8 is a ValueError
                return None
        return self._parents[run_id]

    def forget(self, run_ids: Iterable[str]) -> None:
        """They are gone."""
        with self._lock:
            for run_id in run_ids:
                self._seen.pop(run_id, None)
                self._parents.pop(run_id, None)

    def _folded(self, row: Row) -> RunRecord:
        log = EventLog(self._folders.run(row.id))
        with self._lock:
            record, covered = self._seen.get(row.id) or (_empty(row), 0)
            if log.size() < covered:  # not the file we knew
                record, covered = _empty(row), 0
            log_events, covered = log.read_from(covered)
            record = fold(record, log_events)
            self._seen[row.id] = (record, covered)
            self._seen.move_to_end(row.id)
            if len(self._seen) > _MAX_SEEN:
                self._seen.popitem(last=False)
            return record


_UNSAID = ev.Failed(
    reason="disk_full",
    message="The run ended, and the disk was too full to write down how; free some space and run it again.",
)


def _empty(row: Row) -> RunRecord:
    try:
        job = read_job(row.job)
    except BadInput as error:
        raise BadInput(f"Run {row.id} was made by another version of the app and cannot be read.") from error
    return RunRecord(id=row.id, job=job, created_at=row.created_at, study=row.study or "")
