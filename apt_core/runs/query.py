"""The list of runs: what it knows of each run, and how it is searched, filtered and sorted. Light: the command line
draws its flags from `Query`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, get_args

from pydantic import Field, ValidationError, field_validator

from apt_core.base.errors import BadInput
from apt_core.base.status import LIVE, Status
from apt_core.base.values import Frozen
from apt_core.runs.labels import Labels

FORM = 1  # of what is kept; another number is worked out again
LONGEST_SEARCH = 200
STATUSES: tuple[str, ...] = get_args(Status)


class Listed(Frozen):
    """One run as lists know it; kept in the index once the run has ended, so that a list of many reads no log.

    A number that is not known is None.
    """

    form: int = FORM
    id: str
    kind: str
    status: Status
    created_at: float
    model: str
    title: str
    words: str  # what is searched beside the labels
    method: str
    perplexity: float | None = None  # of what the run made, else of what it measured; on the first text
    ratio: float | None = None
    seconds: float | None = None

    @field_validator("perplexity", "ratio", "seconds", mode="before")
    @classmethod
    def _finite(cls, value: Any) -> Any:
        return value if isinstance(value, int | float) and math.isfinite(value) else None

    @property
    def live(self) -> bool:
        return self.status in LIVE


class Entry(NamedTuple):
    run: Listed
    labels: Labels

    @property
    def name(self) -> str:
        """What it is called: by people, else by its model."""
        return self.labels.name or self.run.title


class Sort(NamedTuple):
    """An order of the list; what has no value comes last."""

    title: str
    key: Callable[[Entry], Any]
    falling: bool = False


SORTS: dict[str, Sort] = {
    "newest": Sort("Newest first", lambda entry: entry.run.created_at, falling=True),
    "oldest": Sort("Oldest first", lambda entry: entry.run.created_at),
    "name": Sort("Name", lambda entry: entry.name.casefold()),
    "model": Sort("Model", lambda entry: entry.run.title.casefold()),
    "method": Sort("Method", lambda entry: entry.run.method.casefold()),
    "perplexity": Sort("Perplexity, lowest first", lambda entry: entry.run.perplexity),
    "ratio": Sort("Perplexity lost, least first", lambda entry: entry.run.ratio),
    "time": Sort("Time taken, longest first", lambda entry: entry.run.seconds, falling=True),
}


class Query(Frozen):
    """Which runs, and in which order. Every word must be found; `#paper` is a whole tag."""

    search: str = Field(default="", description="words of the name, model, method, text, note or a #tag")
    status: str = Field(default="", description="such as finished")
    model: str = Field(default="", description="the id or the title of the model")
    kind: str = Field(default="", description="prune or evaluate")
    tag: str = Field(default="", description="a whole tag")
    sort: str = "newest"

    @field_validator("search")
    @classmethod
    def _not_too_long(cls, value: str) -> str:
        return value[:LONGEST_SEARCH]

    @property
    def everything(self) -> bool:
        return not any((self.search.strip(), self.status, self.model, self.kind, self.tag))

    def checked(self) -> Query:
        """The same; raises BadInput where there is no such status or order."""
        if self.sort not in SORTS:
            raise BadInput(f"There is no order {self.sort[:40]!r}; choose from {', '.join(SORTS)}.")
        if self.status and self.status not in STATUSES:
            raise BadInput(f"There is no status {self.status[:40]!r}; choose from {', '.join(STATUSES)}.")
        return self


def select(entries: Iterable[Entry], query: Query) -> list[Entry]:
    """The entries that the query asks for, pinned ones first. Raises BadInput for an unknown status or order."""
    query.checked()
    words = query.search.casefold().split()
    found = [entry for entry in entries if _fits(entry, query) and all(_has(entry, word) for word in words)]
    order = SORTS[query.sort]
    keyed = [(order.key(entry), entry) for entry in found]
    known = sorted(((key, entry) for key, entry in keyed if key is not None), key=_key, reverse=order.falling)
    whole = [entry for _, entry in known] + [entry for key, entry in keyed if key is None]
    return sorted(whole, key=lambda entry: not entry.labels.pinned)


def _key(pair: tuple[Any, Entry]) -> Any:
    return pair[0]


def _fits(entry: Entry, query: Query) -> bool:
    run = entry.run
    return (
        query.status in ("", run.status)
        and query.kind in ("", run.kind)
        and (not query.model or query.model.casefold() in (run.model.casefold(), run.title.casefold()))
        and (not query.tag or _tagged(entry, query.tag))
    )


def _tagged(entry: Entry, tag: str) -> bool:
    return tag.lstrip("#").casefold() in (each.casefold() for each in entry.labels.tags)


def _has(entry: Entry, word: str) -> bool:
    if word.startswith("#") and len(word) > 1:
        return _tagged(entry, word)
    labels = entry.labels
    return any(word in text for text in (entry.run.words, *_folded(labels.name, labels.note, *labels.tags)))


def _folded(*texts: str) -> Iterable[str]:
    return (text.casefold() for text in texts)


def kept(text: str | None) -> Listed | None:
    """What the index keeps of a run, None where it keeps nothing that this version wrote."""
    if not text:
        return None
    try:
        found = Listed.model_validate_json(text)
    except ValidationError:
        return None
    return found if found.form == FORM else None
