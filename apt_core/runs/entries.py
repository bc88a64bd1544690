"""Every run as lists know it, with what people wrote on it: of runs that have ended kept in the index, so that a list
of many reads no log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from apt_core.base.errors import PruneError
from apt_core.events.records import LIVE, RunRecord
from apt_core.runs import labels, query
from apt_core.runs.folders import Folders
from apt_core.runs.index import Index, Row
from apt_core.runs.listing import listed
from apt_core.runs.query import Entry, Listed
from apt_core.runs.records import Records

_log = logging.getLogger(__name__)


def entries(folders: Folders, index: Index, records: Records, owners: Sequence[str] | None) -> list[Entry]:
    """The newest first. Reads the logs of live runs, and of ended ones once. owners: whose; None for everybody's."""
    with index.read() as rows:
        found = rows.newest(-1, owners)
    known = {row.id: query.kept(row.listed) for row in found if row.status not in LIVE}
    read = records.readable(row for row in found if known.get(row.id) is None)
    known |= {record.id: listed(record) for record in read}
    _keep_listed(index, {row.id: row for row in found}, [run for run in read if not run.live], known)
    return [Entry(one, labels.read(folders.run(row.id))) for row in found if (one := known.get(row.id))]


def _keep_listed(
    index: Index, rows_of: dict[str, Row], records: list[RunRecord], known: dict[str, Listed | None]
) -> None:
    """Keep what lists know of runs that have ended; where it cannot be kept it is worked out again."""
    ended = [record for record in records if rows_of[record.id].status not in LIVE]
    if not ended:
        return
    try:
        with index.write() as rows:
            for record in ended:
                if one := known[record.id]:
                    rows.update(record.id, listed=one.model_dump_json())
    except PruneError as error:
        _log.warning("%s", error)
