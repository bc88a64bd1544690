"""Compare with rounding, folded: below a run that pruned, and below a sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.events.records import RunRecord
from apt_core.jobs import Evaluate
from apt_core.models.fetch import hub_token
from apt_core.studies.rounding import comparable
from apt_core.ui.forms import checks
from apt_core.ui.forms.account import token_of
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import preflight_card, sentence_card
from apt_core.ui.views.html import Markup

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
_SAYS = (
    "<p class='quiet'>The dense model rounded to 8 and to 4 bits, and what was pruned at 8 bits, measured on the same "
    "texts and windows: they stand in the chart of sizes, as at equal memory plain rounding often wins.</p>"
)
_NOTHING_LEFT = "All of it was measured already; it stands in the chart of sizes."
_log = logging.getLogger(__name__)
Runs = Callable[[Any], list[RunRecord]]


class RoundingSection(NamedTuple):
    section: gr.Accordion
    needs: gr.HTML
    start: gr.Button
    note: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return [self.section, self.needs, self.start, self.note]


def lay_out(before: str = "") -> RoundingSection:
    """Draw the section inside the current Blocks context. before: what its ids begin with."""
    with gr.Accordion(
        "Compare with quantization (round to nearest)",
        open=False,
        visible=False,
        elem_id=f"{before}rounding",
        elem_classes="fold",
    ) as section:
        gr.HTML(_SAYS, apply_default_css=False)
        needs = html(f"{before}rounding-needs")
        start = gr.Button("Measure rounded models", elem_id=f"{before}rounding-start")
        note = html(f"{before}rounding-note")
    return RoundingSection(section, needs, start, note)


def wire(
    rounding: RoundingSection,
    studio: Studio,
    shown: Any,
    runs: Runs,
    again: Callable[[Any], dict[Any, Any]],
    outputs: Sequence[Any],
) -> None:
    """runs: those that `shown` says are shown. again: the updates that show them anew, once the runs are queued;
    they may change `outputs`."""

    def pressed(token: gr.OAuthToken | None, value: Any) -> dict[Any, Any]:
        with hub_token.of_visitor(token_of(token)):
            return start(rounding, studio, lambda: runs(value), lambda: again(value))

    rounding.section.expand(
        lambda value: needs_of(rounding, studio, lambda: runs(value)), shown, rounding.outputs, **_QUIET
    )
    rounding.start.click(pressed, shown, list(outputs), **_QUIET)


def there(rounding: RoundingSection, records: Sequence[RunRecord]) -> dict[Any, Any]:
    """The section, where a run can be compared."""
    return {rounding.section: gr.update(visible=any(map(comparable, records)))}


def show(rounding: RoundingSection, records: Sequence[RunRecord]) -> dict[Any, Any]:
    """The section beside other runs than before; what it will take is asked for when it is opened."""
    return {
        **there(rounding, records),
        rounding.needs: "",
        rounding.start: gr.update(interactive=True),
        rounding.note: "",
    }


def needs_of(
    rounding: RoundingSection, studio: Studio, runs: Callable[[], list[RunRecord]]
) -> dict[Any, Any]:
    """What it will take; or one sentence that says why there is nothing to measure."""
    try:
        jobs = _jobs(studio, runs())
        needs = checks.needs_of_all(studio, jobs)
    except PruneError as error:
        return {rounding.needs: str(sentence_card(str(error))), rounding.start: gr.update(interactive=False)}
    return {
        rounding.needs: str(preflight_card(needs, len(jobs)) + _named(jobs)),
        rounding.start: gr.update(interactive=needs.refusal is None),
    }


def start(
    rounding: RoundingSection,
    studio: Studio,
    runs: Callable[[], list[RunRecord]],
    again: Callable[[], dict[Any, Any]],
) -> dict[Any, Any]:
    """Queue them as one study; whatever is in the way is a sentence."""
    try:
        jobs = _jobs(studio, runs())
        if refusal := checks.needs_of_all(studio, jobs).refusal:
            raise BadInput(refusal)
        studio.compare_with_rounding(jobs, _token(studio, jobs))
        return again() | {rounding.needs: str(_queued(len(jobs)))}
    except PruneError as error:
        return {rounding.note: str(sentence_card(str(error)))}
    except Exception:
        _log.exception("The rounded models could not be measured")
        said = "The runs could not be started; the log of the app says why."
        return {rounding.note: str(sentence_card(said))}


def _jobs(studio: Studio, records: list[RunRecord]) -> tuple[Evaluate, ...]:
    if not (jobs := studio.rounding_jobs(records)):
        raise BadInput(_NOTHING_LEFT)
    return jobs


def _token(studio: Studio, jobs: Sequence[Evaluate]) -> str | None:
    """The visitor's, where a worker must ask the Hub in their name."""
    facts = [checks.facts_for(studio, job.model.id) for job in jobs if job.model.run is None]
    return hub_token.handed() if any(one.members_only and not one.cached for one in facts) else None


def _queued(runs: int) -> Markup:
    many = "One run is" if runs == 1 else f"{runs} runs are"
    return sentence_card(f"{many} queued; what each measures stands in the chart of sizes once it has ended.")


def _named(jobs: Sequence[Evaluate]) -> Markup:
    """How many of each kind: '2 of the dense model, 1 of what was pruned'."""
    pruned = sum(job.model.run is not None for job in jobs)
    parts = [f"{len(jobs) - pruned} of the dense model", f"{pruned} of what was pruned"]
    counted = [part for part, many in zip(parts, (len(jobs) - pruned, pruned), strict=True) if many]
    return Markup('<p class="quiet">Measured: {}.</p>').format(", ".join(counted))
