"""The sweeps and searches that a visitor made last, as links to what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from apt_core.base.errors import PruneError
from apt_core.jobs.study import Study
from apt_core.models.catalogue.entries import title_of
from apt_core.studies.sweep import BISECTION, check_is_sweep
from apt_core.ui.studio import Studio
from apt_core.ui.views.html import Markup, join

_MOST = 6


def earlier_sweeps(studio: Studio) -> str:
    """The newest first, of those whose runs stand in the visitor's list; nothing where there is none."""
    links = join(map(_link, list(_sweeps(studio))[:_MOST]))
    if not links:
        return ""
    return str(
        Markup('<nav class="samples" aria-label="Earlier sweeps"><span>Earlier</span>{}</nav>').format(links)
    )


def _sweeps(studio: Studio) -> Iterator[Study]:
    for study_id in dict.fromkeys(run.study for run in studio.lately() if run.study):
        try:
            study = studio.study(study_id)
            check_is_sweep(study)
        except PruneError:
            continue
        yield study


def _link(study: Study) -> Markup:
    """'Tiny Llama, 6 runs, 1 December'; the script of the page writes the time as the reader does."""
    what = "a search" if study.kind == BISECTION else f"{len(study.jobs)} runs"
    at = datetime.fromtimestamp(study.created_at, UTC)
    return Markup('<a href="?study={}">{}, {}, <time datetime="{}">{}</time></a>').format(
        study.id,
        title_of(study.jobs[0].model.id),
        what,
        at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        at.strftime("%Y-%m-%d %H:%M UTC"),
    )
