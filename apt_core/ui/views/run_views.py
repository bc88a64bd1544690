"""The views of a run: its sections by task, one on the screen at a time. On paper, and without a script, all of them.

A view is a word in the address (`?run=ID&view=layers`). Which sections it has is written here; a chart names its own
views. The page sets `data-view` on its root, and generated rules hide what is not in that view.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from apt_core.events.records import RunRecord
from apt_core.plots import charts
from apt_core.reports.run_words import prunes
from apt_core.ui.views.html import Markup, join


class View(NamedTuple):
    """title: of its link. sections: the ids that it shows, beside the charts that name it."""

    title: str
    sections: tuple[str, ...] = ()


VIEWS = {
    "overview": View("Overview", ("read", "warnings", "made")),
    "layers": View("Layers", ("inside", "inside-model")),
    "answers": View("Compare outputs", ("read",)),
    "size": View("Size and speed", ("size-and-speed", "rounding")),
    "others": View("Other runs"),
    "next": View("Next steps", ("next",)),
}


def view_links(record: RunRecord, drawn: Collection[str]) -> Markup:
    """One link for each view that has something of this run. drawn: the names of its charts."""
    here = {view for chart in charts() if chart.name in drawn for view in chart.views}
    if prunes(record):
        here |= {"answers", "size"}
    here |= {"overview", "next"}
    links = (
        Markup('<a href="?run={}{}" data-view="{}">{}</a>').format(
            record.id, "" if name == "overview" else f"&view={name}", name, view.title
        )
        for name, view in VIEWS.items()
        if name in here
    )
    return Markup('<nav class="views" aria-label="Views of this run">{}</nav>').format(join(links))


def views_css() -> str:
    """The rules that hide the sections of every other view."""
    every = dict.fromkeys(section for name in VIEWS for section in _sections(name))
    rules = [
        _hidden(f'[data-view="{name}"]', [one for one in every if one not in set(_sections(name))])
        for name in VIEWS
    ]
    return "\n".join(rules)


def _sections(view: str) -> tuple[str, ...]:
    drawn = (f"{chart.name}-section" for chart in charts() if chart.of_run and view in chart.views)
    return (*VIEWS[view].sections, *drawn)


def _hidden(of_view: str, sections: Iterable[str]) -> str:
    names = ", ".join(f"#{section}" for section in sections)
    return f"html{of_view} body:not(.on-paper) #result :is({names}) {{ display: none !important; }}"
