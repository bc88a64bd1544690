"""The runs that somebody names: by their ids with commas, or all of a study by its id. No torch.

A person may write the beginning of an id, or `latest`, where a program writes the whole id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from apt_core.base.errors import BadInput, PruneError, UnknownRun
from apt_core.events.records import RunRecord
from apt_core.runs.ids import is_run_id
from apt_core.runs.store import Store

LATEST = "latest"
_BEGINNING = re.compile(r"\d{1,8}|\d{8}-\d{0,6}|\d{8}-\d{6}-[0-9a-f]{0,4}")
_SHOWN = 3  # of the ids that a beginning is of


def may_be_short(text: str) -> bool:
    """Whether a text has the form of a name that stands for the id of a run."""
    return not is_run_id(text) and (text == LATEST or _BEGINNING.fullmatch(text) is not None)


def full_id(store: Store, text: str) -> str:
    """The id of the run or study that `latest` or the beginning of an id names; any other text as it is.

    Raises UnknownRun where there are no runs, BadInput for a beginning of several ids.
    """
    if not may_be_short(text):
        return text
    with store.index.read() as rows:
        newest = [row.id for row in rows.newest(-1)]
        studies = [row.id for row in rows.studies(-1)] if text != LATEST else []
    if text == LATEST:
        if not newest:
            raise UnknownRun("There are no runs yet, so 'latest' names none.")
        return newest[0]
    found = sorted(one for one in {*newest, *studies} if one.startswith(text))
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN]) + (" ..." if len(found) > _SHOWN else "")
        raise BadInput(f"{text!r} is the beginning of {len(found)} ids ({shown}); write more of it.")
    return found[0] if found else text


def named_runs(store: Store, text: str) -> list[RunRecord]:
    """The runs of a list with commas, or of a study. Raises BadInput for what is neither."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise BadInput("Name a run, a study, or several runs with commas; 'runs' lists them.")
    return [record for name in names for record in _named(store, name)]


def _named(store: Store, name: str) -> list[RunRecord]:
    try:
        return [store.get(name)]
    except UnknownRun:
        try:
            store.study(name)
        except UnknownRun:
            raise UnknownRun(f"There is no run and no study {name[:60]!r}; 'runs' lists the runs.") from None
        return store.runs_of(name)


def all_of_a_study(store: Store, names: Sequence[str]) -> list[str]:
    """The ids of the runs of a study where it alone is named; the names as they are otherwise."""
    if len(names) != 1:
        return list(names)
    try:
        store.study(names[0])
    except PruneError:
        return list(names)
    return [record.id for record in store.runs_of(names[0])]
