"""Removing runs: hidden for a while, for good, or their weights alone to make room."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.events.records import LIVE, RunRecord
from apt_core.runs import hiding, keeping, processes, studies_kept
from apt_core.runs.eventlog import EventLog
from apt_core.runs.folders import Folders
from apt_core.runs.from_folders import row_of
from apt_core.runs.index import Index, Rows
from apt_core.runs.records import Records


class Removal:
    """Each method is the one of the store that has its name; that one says what it promises."""

    def __init__(self, folders: Folders, index: Index, records: Records):
        self._folders, self._index, self._records = folders, index, records

    def delete(self, run_id: str, orphan: bool) -> None:
        runs, (record,) = self._folders.runs, self._ended([run_id])
        with contextlib.ExitStack() as undo:
            with self._index.write() as rows:
                _take_out(rows, [record], orphan)
                undo.callback(hiding.spare, runs, run_id)
                hiding.doom(runs, runs / run_id, run_id)
            undo.pop_all()
        self._records.forget([run_id])
        hiding.clear(runs)
        self._forget_studies([record.study])

    def hide(self, run_ids: Sequence[str]) -> None:
        runs, records, at = self._folders.runs, self._ended(run_ids), int(time.time())
        with contextlib.ExitStack() as undo:
            with self._index.write() as rows:
                _take_out(rows, records, orphan=False)
                for record in records:
                    undo.callback(hiding.bring_back, runs, hiding.put_away(runs, record.id, record.study, at))
            undo.pop_all()
        self._records.forget(record.id for record in records)

    def hidden(self, owners: Sequence[str] | None) -> list[hiding.Hidden]:
        found = [one for one in hiding.found(self._folders.runs) if one.seconds_left > 0]
        return found if owners is None else [one for one in found if _owner_in(one.folder) in owners]

    def restore(self, run_ids: Sequence[str], owners: Sequence[str] | None) -> list[str]:
        return [one.run for one in self.hidden(owners) if one.run in run_ids and self._bring_back(one)]

    def sweep(self) -> None:
        self._forget_interrupted()
        old = [one for one in hiding.found(self._folders.runs) if one.seconds_left <= 0]
        for one in old:
            hiding.doom(self._folders.runs, one.folder, one.run)
        hiding.clear(self._folders.runs)
        self._forget_studies([one.study for one in old])

    def keep_within(self, cap: int) -> list[str]:
        with self._index.read() as rows:
            ended = [row.id for row in rows.newest(-1) if row.status == "finished"]
            needed = {row.made_from for row in (*rows.active(), *rows.queue())}
        checkpoint_of = self._folders.checkpoint
        kept = [path for run_id in ended if run_id not in needed and (path := checkpoint_of(run_id))]
        gone = keeping.over_cap(kept, cap)
        for checkpoint in gone:
            shutil.rmtree(checkpoint, ignore_errors=True)  # another process may be removing it as well
        return [checkpoint.parent.name for checkpoint in gone]

    def _bring_back(self, one: hiding.Hidden) -> bool:
        """The row first, then the folder: `_forget_interrupted` mends what a kill between the two leaves."""
        with self._index.write() as rows:
            row = row_of(one.folder, self._still_of(one), one.run)
            if row is None:
                return False
            if not rows.get(one.run):  # what a kill left has one
                rows.add(row)
        with self._index.write() as rows:
            if hiding.bring_back(self._folders.runs, one):
                if not rows.get(one.run):
                    rows.add(row)
                return True
            self._forget_without_folder(rows, one.run)
        return False

    def _forget_interrupted(self) -> None:
        """Take out of the index what a removal or a restoration that was killed left in it."""
        runs = self._folders.runs
        away = {*hiding.doomed(runs), *(one.run for one in hiding.found(runs))}
        if away and (known := self._known(away)):
            with (
                self._index.write() as rows
            ):  # whoever removes or restores has come to its end, or was killed
                for run_id in known:
                    self._forget_without_folder(rows, run_id)

    def _known(self, run_ids: set[str]) -> list[str]:
        with self._index.read() as rows:
            return [run_id for run_id in run_ids if rows.get(run_id)]

    def _forget_without_folder(self, rows: Rows, run_id: str) -> None:
        if not self._folders.run(run_id).exists():
            rows.remove(run_id)
            self._records.forget([run_id])

    def _still_of(self, one: hiding.Hidden) -> str | None:
        """The study of a hidden run, unless another run has taken its place there meanwhile."""
        try:
            still = one.study and one.run in studies_kept.read(self._folders.studies, one.study).runs
        except BadInput:
            return None
        return one.study if still else None

    def _ended(self, run_ids: Sequence[str]) -> list[RunRecord]:
        """These runs, what was made from another first. Raises BadInput for one that is live."""
        records = [self._records.get(run_id) for run_id in dict.fromkeys(run_ids)]
        for record in records:
            if record.live:
                raise BadInput(f"Run {record.id} is still {record.status}; cancel it first.")
        return sorted(records, key=lambda record: record.created_at or 0.0, reverse=True)

    def _forget_studies(self, study_ids: Sequence[str]) -> None:
        """Remove those of these studies that have no run any more, not even a hidden one."""
        studies = {study for study in study_ids if study}
        if not studies:
            return
        with self._index.write() as rows:  # whoever makes a study waits
            waiting = {one.study for one in hiding.found(self._folders.runs)}
            gone = [study for study in studies - waiting if not rows.of_study(study)]
            for study in gone:
                rows.remove_study(study)
        for study in gone:
            studies_kept.remove(self._folders.studies, study)


def _owner_in(folder: Path) -> str:
    """Whose run a folder holds, by its own log; nobody's where that cannot be read."""
    try:
        first = next(iter(EventLog(folder).read()), None)
    except OSError:
        return ""
    return first.event.owner if first and isinstance(first.event, ev.Queued) else ""


def _take_out(rows: Rows, records: Sequence[RunRecord], orphan: bool) -> None:
    """Take runs out of the index, all or none of them.

    Their folders go in the same transaction: what a kill in the middle of it leaves are rows without a folder.
    """
    for record in records:
        _check_children(rows, record.id, orphan)
        _forget_process(rows, record.id)
        rows.remove(record.id)


def _forget_process(rows: Rows, run_id: str) -> None:
    """A worker that has said its last word but is still tidying up has nothing left to do."""
    row = rows.get(run_id)
    if row and row.pid and row.status in LIVE and processes.is_alive(row.pid, row.pid_created, run_id):
        processes.kill_group(row.pid)


def _check_children(rows: Rows, run_id: str, orphan: bool) -> None:
    """Raise BadInput while other runs need this one, or were made from it and must not be orphaned."""
    children = rows.made_from(run_id)
    waiting = [row.id for row in children if row.status in LIVE]
    if waiting:
        raise BadInput(
            f"Run {waiting[0]} still needs the weights of run {run_id}; cancel it or wait until it ends."
        )
    if children and not orphan:
        raise BadInput(
            f"Run {run_id} is what {_listed([row.id for row in children])} made from; delete "
            f"{'that run' if len(children) == 1 else 'those runs'} first, or delete this one on the command line "
            "with --force."
        )


def _listed(run_ids: list[str]) -> str:
    """'run A was', 'runs A and B were'."""
    names = " and ".join([", ".join(run_ids[:-1]), run_ids[-1]]) if len(run_ids) > 1 else run_ids[0]
    return f"run {names} was" if len(run_ids) == 1 else f"runs {names} were"
