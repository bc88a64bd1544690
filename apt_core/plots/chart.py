"""What a chart is: a figure, and the same in words, as a table and as numbers to download."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

import plotly.graph_objects as go

from apt_core.events.records import RunRecord


class RunSet(NamedTuple):
    """The run that is shown, and the others that a chart may draw beside it, the newest first.

    compare: whether they are runs that somebody chose to compare, in that order, all of them shown.
    study: whether they are a whole study, in which no run is more shown than another.
    """

    shown: RunRecord
    others: tuple[RunRecord, ...] = ()
    compare: bool = False
    study: bool = False

    @property
    def members(self) -> tuple[RunRecord, ...]:
        return (self.shown, *self.others)

    @property
    def marked(self) -> str:
        """The id of the run that charts and tables mark as the one that is shown, empty for none."""
        return "" if self.study or self.compare else self.shown.id


class RunLink(NamedTuple):
    """A cell of a table that opens a run."""

    run_id: str
    text: str
    shown: bool = False  # the run that is shown already


class Row(NamedTuple):
    """A row of a table. key: the point of the figure that it says in numbers, empty for none."""

    cells: tuple[str | RunLink, ...]
    key: str = ""


class Table(NamedTuple):
    """The numbers of a chart as people read them. kinds: one letter a column, 'n' for numbers."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    kinds: str


class Sheet(NamedTuple):
    """The numbers of a chart as programs read them."""

    heads: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def as_csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.heads)
        writer.writerows(self.rows)
        return out.getvalue()


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One file of this folder has one of these as `CHART`; a package names its own under `apt_core.charts`.

    name: in addresses and ids, lower-case letters and dashes. place: small comes first. views: those of a run in
    which it is drawn (`ui/views/run_views.py`). looks: another value whenever it looks different, so that it is drawn
    anew. rivals: the other runs in the figure that can be opened; the page goes on watching while they do.
    awaited: runs that will be in it, for which the page goes on watching too. of_run: on the page of a run. of_set:
    beside runs that are compared (`RunSet.compare`). of_study: of a whole study (`RunSet.study`).
    """

    name: str
    applies: Callable[[RunSet], bool]
    looks: Callable[[RunSet], Hashable]
    title: Callable[[RunSet], str]
    figure: Callable[[RunSet], go.Figure]
    summary: Callable[[RunSet], str]
    table: Callable[[RunSet], Table]
    sheet: Callable[[RunSet], Sheet]
    note: Callable[[RunSet], str] = lambda runs: ""
    rivals: Callable[[RunSet], tuple[RunRecord, ...]] = lambda runs: ()
    awaited: Callable[[RunSet], tuple[RunRecord, ...]] = lambda runs: ()
    views: tuple[str, ...] = ("layers",)
    place: int = 100
    of_run: bool = True
    of_set: bool = False
    of_study: bool = False

    @property
    def label(self) -> str:
        """'layers' -> 'Layers'"""
        return self.name.replace("-", " ").capitalize()
