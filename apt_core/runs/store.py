"""Every run that was ever asked for: made, read, cancelled and deleted here, from any process."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections import OrderedDict
from pathlib import Path

from apt_core import events as ev
from apt_core.base.errors import DISK_FULL_ERRNOS as NO_ROOM
from apt_core.base.errors import BadInput, DiskFull, UnknownRun
from apt_core.base.paths import data_dir
from apt_core.events.records import LIVE, RunRecord, fold
from apt_core.jobs import Job, read_job
from apt_core.runs import keeping, processes, token_holder
from apt_core.runs.eventlog import EventLog
from apt_core.runs.ids import check_id, is_run_id, new_id
from apt_core.runs.index import Index, Row

_log = logging.getLogger(__name__)
_MAX_SEEN = 400  # more than `list` gives at once, so that a second look reads no log again


class Store:
    """`root/runs.db` and `root/runs/<id>/`. Cheap to make; safe in threads and in several processes."""

    def __init__(self, root: Path | None = None, patience: float = 10.0):
        self.root = Path(root) if root is not None else data_dir()
        self.runs = self.root / "runs"
        self.index = Index(self.root / "runs.db", self._rows_from_folders, patience)
        # The record so far of the runs seen last, and the bytes of the log that it covers.
        self._seen: OrderedDict[str, tuple[RunRecord, int]] = OrderedDict()
        self._lock = threading.Lock()

    # --- making and ending -----------------------------------------------------------------------

    def create(self, recipe: Job, needs_our_token: bool = False) -> str:
        """Put a run at the end of the queue. Raises DiskFull, and leaves nothing behind, without room.

        needs_our_token: only this process can start it, because it alone knows a token of the Hub.
        """
        with self.index.write() as rows:
            run_id = self._new_folder()
            folder = self.folder(run_id)
            try:
                if needs_our_token:
                    token_holder.mark(folder)
                rows.add(self._fill_folder(folder, recipe))
            except BaseException as error:
                shutil.rmtree(folder, ignore_errors=True)  # the error that we raise is the one to be told
                if isinstance(error, OSError) and error.errno in NO_ROOM:
                    raise self._disk_full() from error
                raise
        return run_id

    def append(self, run_id: str, event: ev.Event) -> ev.Stamped:
        """Add an event to the run's log. Raises DiskFull, UnknownRun when its folder is gone."""
        try:
            return EventLog(self.folder(run_id)).append(event)
        except FileNotFoundError as error:
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.") from error
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise self._disk_full() from error

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

    def delete(self, run_id: str) -> None:
        """Remove a run that has ended, with its weights. Raises BadInput while it is queued or running."""
        record = self.get(run_id)
        if record.live:
            raise BadInput(f"Run {run_id} is still {record.status}; cancel it first.")
        self._forget_process(run_id)
        with self.index.write() as rows:
            rows.remove(run_id)
        with self._lock:
            self._seen.pop(run_id, None)
        if self.folder(run_id).exists():
            # Gone at once for everybody, however long the removal takes.
            os.replace(self.folder(run_id), self.runs / f".deleted-{run_id}")
        for doomed in self.runs.glob(".deleted-*"):  # also what an earlier, interrupted delete left
            shutil.rmtree(doomed, ignore_errors=True)  # what stays is hidden, and swept by the next delete

    def keep_within(self, cap: int) -> list[str]:
        """Remove the weights of the oldest runs until all fit in `cap` bytes; returns whose went."""
        with self.index.read() as rows:
            ended = [row.id for row in rows.newest(-1) if row.status == "finished"]
        kept = [path for run_id in ended if (path := self.checkpoint(run_id))]
        gone = keeping.over_cap(kept, cap)
        for checkpoint in gone:
            shutil.rmtree(checkpoint, ignore_errors=True)  # another process may be removing it as well
        return [checkpoint.parent.name for checkpoint in gone]

    # --- reading ---------------------------------------------------------------------------------

    def get(self, run_id: str) -> RunRecord:
        """The run as it is now; raises UnknownRun."""
        check_id(run_id)
        with self.index.read() as rows:
            row = rows.get(run_id)
        if row is None:
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
        return self._record(row)

    def list(self, limit: int = 200) -> list[RunRecord]:
        """The newest runs, newest first. A run that this version cannot read is left out and logged."""
        with self.index.read() as rows:
            newest = rows.newest(limit)
        records = []
        for row in newest:
            try:
                records.append(self._record(row))
            except BadInput as error:
                _log.warning("%s", error)
        return records

    def live(self) -> list[RunRecord]:
        """The runs that wait or work."""
        with self.index.read() as rows:
            return [self._record(row) for row in (*rows.active(), *rows.queue())]

    def events_since(self, run_id: str, seq: int = -1) -> list[ev.Stamped]:
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
        return self.runs / check_id(run_id)

    def checkpoint(self, run_id: str) -> Path | None:
        """The pruned weights of a run, None when it has none (any more)."""
        checkpoint = self.folder(run_id) / "checkpoint"
        return checkpoint if any(checkpoint.glob("*.safetensors")) else None

    def came_with_token(self, run_id: str) -> bool:
        """Whether the run was asked for with a Hub token of a visitor, for a model that is not for everybody."""
        return token_holder.of(self.folder(run_id)) is not None

    def cancel_requested(self, run_id: str) -> bool:
        with self.index.read() as rows:
            row = rows.get(run_id)
        return row is None or row.cancel_requested_at is not None

    # --- how it is done --------------------------------------------------------------------------

    def _disk_full(self) -> DiskFull:
        return DiskFull(f"The disk that holds {self.root} is full; free some space.")

    @staticmethod
    def _fill_folder(folder: Path, recipe: Job) -> Row:
        """What a run consists of before it starts; returns its row for the index."""
        (folder / "recipe.json").write_text(recipe.model_dump_json(indent=2), encoding="utf-8")
        log = EventLog(folder)
        log.set_reserve()
        queued = log.append(ev.Queued())
        return Row(folder.name, queued.at, "queued", recipe.model_dump_json())

    def _new_folder(self) -> str:
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            while True:
                run_id = new_id()
                try:
                    self.folder(run_id).mkdir()
                    return run_id
                except FileExistsError:
                    continue  # two runs in one second drew the same four digits
        except OSError as error:
            if error.errno in NO_ROOM:
                raise self._disk_full() from error
            raise BadInput(
                f"The folder {self.runs} cannot be written ({error.strerror}); set APT_DATA to another."
            ) from error

    def _record(self, row: Row) -> RunRecord:
        """The fold of the log, with what only the index knows (queued, running, stopping)."""
        record = self._folded(row)
        if record.status in LIVE:
            record = record.model_copy(update={"status": row.status})
        if record.status == "failed" and record.failure is None:
            record = record.model_copy(update={"failure": _UNTOLD, "ended_at": row.ended_at})
        return record

    def _folded(self, row: Row) -> RunRecord:
        log = EventLog(self.folder(row.id))
        with self._lock:
            record, covered = self._seen.get(row.id) or (self._empty(row), 0)
            if log.size() < covered:  # not the file we knew
                record, covered = self._empty(row), 0
            log_events, covered = log.read_from(covered)
            record = fold(record, log_events)
            self._seen[row.id] = (record, covered)
            self._seen.move_to_end(row.id)
            if len(self._seen) > _MAX_SEEN:
                self._seen.popitem(last=False)
            return record

    @staticmethod
    def _empty(row: Row) -> RunRecord:
        try:
            recipe = read_job(row.recipe)
        except BadInput as error:
            raise BadInput(
                f"Run {row.id} was made by another version of the app and cannot be read."
            ) from error
        return RunRecord(id=row.id, job=recipe, created_at=row.created_at)

    def _forget_process(self, run_id: str) -> None:
        """A worker that has said its last word but is still tidying up has nothing left to do."""
        with self.index.read() as rows:
            row = rows.get(run_id)
        if row and row.status in LIVE and processes.is_alive(row.pid, row.pid_created, run_id):
            processes.kill_group(row.pid)

    def _rows_from_folders(self) -> list[Row]:
        """The index as the run folders tell it, oldest first; for an index that is new or was lost."""
        folders = sorted(path for path in self.runs.glob("*") if is_run_id(path.name))
        return [row for folder in folders if (row := _row_of(folder))]


_UNTOLD = ev.Failed(
    reason="disk_full",
    message="The run ended, and the disk was too full to write down how; free some space and run it again.",
)


def _row_of(folder: Path) -> Row | None:
    """One run as its folder tells it, None (and a line in the log) when the recipe cannot be read."""
    try:
        text = (folder / "recipe.json").read_text(encoding="utf-8")
        recipe = read_job(text)
    except (OSError, ValueError, BadInput) as error:  # ValidationError and torn UTF-8 are ValueErrors
        _log.warning("The run folder %s cannot be read and is left alone: %s", folder, error)
        return None
    log = EventLog(folder).read()
    record = fold(RunRecord(id=folder.name, job=recipe), log)
    started = next((line.event for line in log if isinstance(line.event, ev.Started)), None)
    return Row(
        id=folder.name,
        created_at=record.created_at or folder.stat().st_mtime,
        status=record.status,
        recipe=text,
        # Without a birth only a process that names this run on its command line counts as its worker.
        pid=started.pid if started else None,
        ended_at=record.ended_at,
    )
