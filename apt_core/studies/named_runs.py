"""The runs that somebody names: by their ids with commas, or all of a study by its id. No torch."""

from __future__ import annotations

from apt_core.base.errors import BadInput, UnknownRun
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
