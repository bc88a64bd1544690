"""The law of recoveries, folded: below a run whose model is or was recovered, and below runs that are compared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.events.records import RunRecord
from apt_core.studies.law_runs import recoveries_of
from apt_core.studies.scaling_law import Laws, answered, laws_of
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.chart_cache import ChartCache
from apt_core.ui.views.law import laws_card

_WITHIN = 1.1
_QUIET: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1, "concurrency_id": "law"}
_log = logging.getLogger(__name__)
_cache = ChartCache(most=50)


class LawSection(NamedTuple):
    """within: of the dense perplexity, how many times. said: the laws, once somebody has asked."""

    section: gr.Accordion
    within: gr.Number
    fit: gr.Button
    said: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return [self.section, self.said]


def lay_out(before: str = "") -> LawSection:
    """Draw the section inside the current Blocks context. before: what its ids begin with."""
    with gr.Accordion(
        "Scaling-law fit", open=False, visible=False, elem_id=f"{before}law", elem_classes="fold"
    ) as section:
        within = gr.Number(
            _WITHIN,
            label="Within, times the dense perplexity",
            info="How many tokens until it is there, by the law of the curve",
            step=0.05,
            elem_id=f"{before}law-within",
        )
        fit = gr.Button("Fit the law", elem_id=f"{before}law-fit", size="sm")
        said = html(f"{before}law-said")
    return LawSection(section, within, fit, said)


def wire(law: LawSection, studio: Studio, shown: gr.HTML, runs: Callable[[Any], Sequence[str]]) -> None:
    """runs: the ids of the runs that `shown` says are shown."""

    def asked(value: Any, within: Any) -> str:
        return said_of(studio, runs(value), within)

    gr.on(
        [law.fit.click, law.within.submit],
        asked,
        [shown, law.within],
        law.said,
        show_progress="minimal",
        **_QUIET,
    )


def show(law: LawSection, studio: Studio, records: Sequence[RunRecord]) -> dict[Any, Any]:
    """The section, where there is a recovery with a curve; what was said of other runs goes."""
    there = any(one.steps for one in recoveries_of(records, studio.made_from))
    return {law.section: gr.update(visible=there), law.said: ""}


def said_of(studio: Studio, run_ids: Sequence[str], within: Any) -> str:
    """The laws of these runs, or why there are none, in one sentence."""
    try:
        return _said(studio, run_ids, _ratio(within))
    except PruneError as error:
        return str(sentence_card(str(error)))
    except Exception:
        _log.exception("The law could not be fitted")
        return str(sentence_card("The law could not be fitted; the log of the app says why."))


def _said(studio: Studio, run_ids: Sequence[str], within: float) -> str:
    records = recoveries_of([studio.record(run_id) for run_id in run_ids], studio.made_from)
    looks = tuple((one.id, one.status, len(one.steps)) for one in records)
    return str(laws_card(answered(_cache.once(looks, lambda: _fitted(studio, records)), within)))


def _fitted(studio: Studio, records: Sequence[RunRecord]) -> Laws:
    """Raises BadInput, and OverQuota: a fit takes seconds, and counts as a look of the visitor who is the first to
    ask."""
    studio.take_look()
    return laws_of(records, known=studio.known)


def _ratio(within: Any) -> float:
    if isinstance(within, bool) or not isinstance(within, int | float) or not within >= 1:
        raise BadInput("Within: give a number from 1, such as 1.05.")
    return float(within)
