"""Runs and studies come into the queue: a folder and a row for each, all of them or none."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from apt_core import events as ev
from apt_core.base.errors import DISK_FULL_ERRNOS as NO_ROOM
from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord
from apt_core.jobs import Job
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space
from apt_core.jobs.study import Asked, Study
from apt_core.runs import lineage, studies_kept, token_holder
from apt_core.runs.eventlog import EventLog
from apt_core.runs.folders import JOB_FILE, MEMBERS_ONLY, Folders
from apt_core.runs.ids import new_id
from apt_core.runs.index import Index, Row, Rows, StudyRow
from apt_core.runs.records import Records


def must_be_renewed(study: Study, record: RunRecord | None) -> bool:
    """Whether a place of a study has no run that waits, works or has finished, by the run's own last word: its process
    may still be tidying up. A search for the highest sparsity has its answer also from a run that broke the model."""
    if record is None:
        return True
    answered = study.bisection is not None and record.lost_its_predictions
    return record.status in ("cancelled", "failed") and not answered


class Making:
    """Each method is the one of the store that has its name; that one says what it promises."""

    def __init__(self, folders: Folders, index: Index, records: Records):
        self._folders, self._index, self._records = folders, index, records

    def create(
        self,
        jobs: Sequence[Job],
        needs_our_token: bool,
        study_kind: str | None,
        asked: Asked | None,
        owner: str,
    ) -> tuple[str, Study | None]:
        """(the first run, the study when there is a kind of one)."""
        study_id = new_id() if study_kind else None
        with self._index.write() as rows, self._undone(study_id) as run_ids:
            for job in jobs:
                run_ids.append(self._add_run(rows, job, needs_our_token, study_id, owner))
            study = self._add_study(rows, study_id, study_kind, jobs, run_ids, asked, owner)
        return run_ids[0], study

    def renew_study(self, study_id: str, needs_our_token: bool) -> Study:
        with self._index.write() as rows:
            before = study = self._study(study_id)
            members_only = any(map(self._folders.came_with_token, study.runs))
            with self._undone(before) as run_ids:
                for place, (job, old) in enumerate(zip(before.jobs, before.runs, strict=True)):
                    row = rows.get(old)
                    if not must_be_renewed(before, self._records.of(row) if row else None):
                        continue
                    run_ids.append(
                        self._add_run(rows, job, needs_our_token, study_id, before.owner, members_only)
                    )
                    study = study.with_run(place, run_ids[-1])
                if run_ids:
                    studies_kept.rewrite(self._folders.studies, study)
            replaced = set(before.runs) - set(study.runs)
            never_began = [row.id for row in map(rows.get, replaced) if row and row.pid is None]
            for run_id in replaced:
                rows.update(run_id, study=None)
            for run_id in never_began:
                rows.remove(run_id)
        for run_id in never_began:
            shutil.rmtree(self._folders.run(run_id), ignore_errors=True)
        return study

    def extend_study(self, known: Study, job: Job) -> Study | None:
        with self._index.write() as rows:
            if self._study(known.id) != known:
                return None
            members_only = any(map(self._folders.came_with_token, known.runs))
            with self._undone(known) as run_ids:
                run_ids.append(self._add_run(rows, job, False, known.id, known.owner, members_only))
                added = {"jobs": (*known.jobs, job), "runs": (*known.runs, run_ids[-1]), "held": ""}
                study = known.model_copy(update=added)
                studies_kept.rewrite(self._folders.studies, study)
        return study

    def hold_study(self, known: Study, why: str) -> None:
        if known.held == why:
            return
        with self._index.write():  # one at a time
            if self._study(known.id) == known:
                studies_kept.rewrite(self._folders.studies, known.model_copy(update={"held": why}))

    # --- all or none -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _undone(self, study: Study | str | None) -> Iterator[list[str]]:
        """Whatever is raised inside leaves none of the runs whose ids are put into the list, and the study as it was:
        a new one (given by its id) not there. A full disk becomes DiskFull."""
        run_ids: list[str] = []
        try:
            yield run_ids
        except BaseException as error:
            for run_id in run_ids:  # the error that is raised is the one to report
                shutil.rmtree(self._folders.run(run_id), ignore_errors=True)
            if isinstance(study, str):
                studies_kept.remove(self._folders.studies, study)
            elif study is not None:
                with contextlib.suppress(OSError):
                    studies_kept.rewrite(self._folders.studies, study)
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise self._folders.disk_full() from error
            raise

    def _add_run(
        self,
        rows: Rows,
        job: Job,
        needs_our_token: bool,
        study_id: str | None,
        owner: str,
        members_only: bool = False,
    ) -> str:
        """A new run in the queue; nothing of it stays when it cannot be written."""
        self._check_parent(job)  # in the transaction: whoever deletes it waits for this one
        run_id = self._new_folder()
        folder = self._folders.run(run_id)
        try:
            if members_only:
                (folder / MEMBERS_ONLY).touch()
            row = self._fill_folder(folder, job, needs_our_token, study_id, owner)
            rows.add(replace(row, turn=rows.next_turn(owner)))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return run_id

    def _add_study(
        self,
        rows: Rows,
        study_id: str | None,
        kind: str | None,
        jobs: Sequence[Job],
        run_ids: list[str],
        asked: Asked | None,
        owner: str,
    ) -> Study | None:
        if study_id is None or kind is None:
            return None
        study = Study(
            id=study_id,
            kind=kind,
            created_at=time.time(),
            owner=owner,
            jobs=tuple(jobs),
            runs=tuple(run_ids),
            space=asked if isinstance(asked, Space) else None,
            bisection=asked if isinstance(asked, Bisection) else None,
        )
        studies_kept.write(self._folders.studies, study)
        rows.add_study(StudyRow(study.id, study.created_at, study.kind))
        return study

    def _study(self, study_id: str) -> Study:
        return studies_kept.read(self._folders.studies, study_id)

    def _check_parent(self, job: Job) -> None:
        """Raise BadInput when the job's model is that of a run which has none (any more)."""
        if job.model.run is not None:
            lineage.made_by(job.model.run, self._records, self._folders)

    # --- the folder of a run ---------------------------------------------------------------------

    def _fill_folder(
        self, folder: Path, job: Job, needs_our_token: bool, study: str | None, owner: str
    ) -> Row:
        """What a run consists of before it starts; returns its row for the index."""
        if needs_our_token:
            token_holder.mark(folder)
        if job.model.run is not None and self._folders.came_with_token(job.model.run):
            (folder / MEMBERS_ONLY).touch()
        text = job.model_dump_json(indent=2)
        (folder / JOB_FILE).write_text(text, encoding="utf-8")
        log = EventLog(folder)
        log.set_reserve()
        queued = log.append(ev.Queued(owner=owner))
        return Row(folder.name, queued.at, "queued", text, study=study, made_from=job.model.run, owner=owner)

    def _new_folder(self) -> str:
        runs = self._folders.runs
        try:
            runs.mkdir(parents=True, exist_ok=True)
            while True:
                run_id = new_id()
                try:
                    self._folders.run(run_id).mkdir()
                    return run_id
                except FileExistsError:
                    continue  # two runs in one second drew the same four digits
        except OSError as error:
            if error.errno in NO_ROOM:
                raise self._folders.disk_full() from error
            raise BadInput(
                f"The folder {runs} cannot be written ({error.strerror}); set APT_DATA to another."
            ) from error
