"""Below the choice of an allocation: the button that shows what each layer gets, and about how long that takes."""

from __future__ import annotations

from typing import NamedTuple

import gradio as gr

from apt_core.base.words import size
from apt_core.estimate.looking import allocating_seconds
from apt_core.jobs import Job
from apt_core.jobs.kinds import prunes
from apt_core.measure.inside.questions import AllocationQuestion
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.ui.forms import checks, missing
from apt_core.ui.studio import Studio
from apt_core.ui.views.cards import rounded
from apt_core.ui.views.html import Markup


class ShowShares(NamedTuple):
    show: gr.Button
    says: gr.HTML

    @classmethod
    def undrawn(cls) -> ShowShares:
        """Drawn where `render` is called."""
        return cls(
            gr.Button("Show what each layer gets", size="sm", elem_id="show-shares", render=False),
            gr.HTML("", elem_id="show-shares-says", apply_default_css=False, render=False),
        )

    def render(self) -> None:
        self.show.render()
        self.says.render()


def says(studio: Studio, job: Job, facts: ModelFacts) -> str:
    """What a press reads and about how long it takes; empty for a job without an allocation."""
    if not prunes(job):
        return ""
    if not job.method.allocation.varies(job.pattern):
        return _line("Every layer gets the same.")
    question = AllocationQuestion.of(job)
    seconds = allocating_seconds(question, facts, checks.rates_for(studio, facts))
    reads = "Reads the model and the calibration text" if question.reads_text else "Reads the model alone"
    about = f", about {rounded(seconds)}" if seconds else ""
    to_come = facts.download_bytes + missing.bytes_to_come(question.job)
    return _line(f"{reads}{about}{f'; {size(to_come)} are fetched first' if to_come else ''}.")


def _line(text: str) -> str:
    return str(Markup('<p class="says">{}</p>').format(text))
