"""The index as the folders of runs and studies tell it, for one that is new or was lost."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import read_job
from apt_core.runs import processes, studies_kept
from apt_core.runs.eventlog import EventLog
from apt_core.runs.folders import Folders, read_job_file
from apt_core.runs.ids import is_run_id
from apt_core.runs.index import Found, Row, StudyRow
from apt_core.runs.listing import listed

_log = logging.getLogger(__name__)


def found_in(folders: Folders) -> Found:
    """The index as the folders tell it, oldest first."""
    studies = studies_kept.read_all(folders.studies)
    study_of = {run_id: study.id for study in studies for run_id in study.runs}
    paths = sorted(path for path in folders.runs.glob("*") if is_run_id(path.name))
    rows = [row for path in paths if (row := row_of(path, study_of.get(path.name)))]
    rows.sort(key=lambda row: row.created_at)  # ids tell the second alone
    return Found(_with_turns(rows), [StudyRow(study.id, study.created_at, study.kind) for study in studies])


def row_of(folder: Path, study: str | None, run_id: str = "") -> Row | None:
    """One run as its folder tells it, None (and a line in the log) when it cannot be read.

    run_id: for a folder that has another name than its run.
    """
    run_id = run_id or folder.name
    try:
        text = read_job_file(folder)
        job, log = read_job(text), EventLog(folder).read()
        made_at = folder.stat().st_mtime
    except (OSError, ValueError, BadInput) as error:  # torn UTF-8 is a ValueError
        _log.warning("The run folder %s cannot be read and is left alone: %s", folder, error)
        return None
    record = fold(RunRecord(id=run_id, job=job), log)
    started = next((line.event for line in log if isinstance(line.event, ev.Started)), None)
    # A worker that has said its last word and is still there (stopped, perhaps): the launcher looks after it.
    lingers = not record.live and started is not None and processes.is_alive(started.pid, None, run_id)
    return Row(
        id=run_id,
        created_at=record.created_at or made_at,
        status="running" if lingers else record.status,
        job=text,
        # Without a birth only a process that names this run on its command line counts as its worker.
        pid=started.pid if started else None,
        ended_at=None if lingers else record.ended_at,
        study=study,
        made_from=record.made_from,
        listed=None if record.live else listed(record).model_dump_json(),
        owner=record.owner,
    )


def _with_turns(rows: list[Row]) -> list[Row]:
    """Turns for what waits, as if all of it had been asked for just now in this order."""
    taken: Counter[str] = Counter()
    found = []
    for row in rows:
        taken[row.owner] += row.status == "queued"
        found.append(replace(row, turn=taken[row.owner]) if row.status == "queued" else row)
    return found
