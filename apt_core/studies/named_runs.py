"""The runs that somebody names: by their ids with commas, or all of a study by its id. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.errors import BadInput, PruneError, UnknownRun
from apt_core.events.records import RunRecord
from apt_core.runs.store import Store


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
