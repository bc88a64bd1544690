"""The Explore tab: choose on the left, watch and read on the right, and the events between them."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import PruneError
from apt_core.base.policy import HostPolicy
from apt_core.events.records import RunRecord
from apt_core.models.catalogue import terms
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.fetch import hub_token
from apt_core.ui.forms import below, checks, choose, remembered
from apt_core.ui.forms.account import token_of
from apt_core.ui.forms.below import Form
from apt_core.ui.forms.choose import Chooser
from apt_core.ui.forms.form import jobs_of
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import (
    allocation,
    inside,
    inside_model,
    law,
    measure,
    push,
    read,
    recover,
    result,
    rounding,
    search,
)
from apt_core.ui.tabs.allocation import AllocationSection
from apt_core.ui.tabs.inside import Inside
from apt_core.ui.tabs.inside_model import InsideModel
from apt_core.ui.tabs.law import LawSection
from apt_core.ui.tabs.measure import Measuring
from apt_core.ui.tabs.push import PushSection
from apt_core.ui.tabs.read import Reading
from apt_core.ui.tabs.result import Result
from apt_core.ui.tabs.rounding import RoundingSection
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.fold import chosen_line
from apt_core.ui.views.run_view import ViewState, shows

_log = logging.getLogger(__name__)
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class Explore(NamedTuple):
    chooser: Chooser
    allocation: AllocationSection
    result: Result
    pushing: PushSection
    inside: Inside
    inside_model: InsideModel
    reading: Reading
    measuring: Measuring
    recovering: Form
    law: LawSection
    searching: Form
    rounding: RoundingSection
    seen: gr.HTML  # what this tab shows; its script keeps the address in step and asks for what is new
    folded: gr.HTML  # the one line that stands for the chooser on a narrow screen
    last_run: gr.BrowserState
    choices: gr.BrowserState  # those of the visitor's last run
    forget: gr.Button  # there once choices were remembered

    @property
    def outputs(self) -> list[Any]:
        """Everything that opening or watching a run can change."""
        return [
            *self.result.outputs,
            *self.pushing.outputs,
            *self.inside.outputs,
            *self.inside_model.outputs,
            self.measuring.controls["model"],
            self.measuring.note,
            *self.recovering.outputs,
            *self.law.outputs,
            *self.searching.outputs,
            *self.rounding.outputs,
            *self.reading.outputs,
            self.seen,
            self.folded,
            self.last_run,
        ]

    @property
    def chosen(self) -> list[Any]:
        """The choices, and what remembers them."""
        return [*self.chooser.inputs, self.chooser.preset, self.choices, self.forget]


def lay_out(policy: HostPolicy = HostPolicy()) -> Explore:  # noqa: B008 - immutable
    seen = gr.HTML(
        {},
        html_template="",
        js_on_load="window.aptStudio.follow(props, watch, trigger);",
        elem_id="seen",
        apply_default_css=False,
    )
    # Fixed key and secret: random ones would forget the run at every restart. Only run ids are kept.
    last_run = gr.BrowserState("", storage_key="apt-studio-run", secret="only-run-ids-here")
    choices = gr.BrowserState({}, storage_key="apt-studio-choices", secret="only-choices-here")
    with gr.Row(elem_id="explore", equal_height=False):
        with gr.Column(elem_id="rail", min_width=280, scale=0):
            folded = result.html("folded")
            chooser = choose.lay_out(policy)
            forget = gr.Button("Forget my last choices", size="sm", elem_id="forget-choices", visible=False)
        with gr.Column(elem_id="result", min_width=280, scale=1):
            before = allocation.lay_out()
            shown = result.lay_out()
            with shown.beside:
                reading = read.lay_out()
            looking = inside.lay_out()
            looking_along = inside_model.lay_out()
            rounded = rounding.lay_out()
            with gr.Column(elem_id="next"):
                shown.parts["downloads"] = result.html("downloads", known=True)
                recovering = recover.lay_out(shown.bar)
                measuring = measure.lay_out()
                pushing = push.lay_out()
                searching = search.lay_out(shown.bar)
                of_recoveries = law.lay_out()
            result.lay_out_end(shown)
    return Explore(
        chooser,
        before,
        shown,
        pushing,
        looking,
        looking_along,
        reading,
        measuring,
        recovering,
        of_recoveries,
        searching,
        rounded,
        *(seen, folded, last_run, choices, forget),
    )


def wire(explore: Explore, studio: Studio, page: gr.Blocks) -> None:
    choose.wire(explore.chooser, studio, page)
    allocation.wire(explore.allocation, explore.chooser, studio)
    push.wire(explore.pushing, studio, explore.seen)
    inside.wire(explore.inside, explore.seen, studio)
    inside_model.wire(explore.inside_model, explore.seen, studio)
    read.wire(explore.reading, explore.seen, studio)

    def opened(run_id: str) -> dict[Any, Any]:
        return open_run(explore, studio, studio.record(run_id), link=True)

    measure.wire(explore.measuring, studio, opened, explore.outputs)
    recover.wire(explore.recovering, studio, explore.seen, opened, explore.outputs)
    law.wire(explore.law, studio, explore.seen, lambda view: [ViewState.parse(view).run])
    search.wire(explore.searching, studio, explore.seen, opened, explore.outputs)
    _wire_rounding(explore, studio)
    _wire_differing(explore, studio)

    def pressed(token: gr.OAuthToken | None, *values: Any) -> dict[Any, Any]:
        with hub_token.of_visitor(token_of(token)):
            return start(explore, studio, explore.chooser.values(values))

    explore.chooser.prune.click(
        pressed,
        explore.chooser.inputs,
        [
            *(*explore.outputs, *explore.chooser.checked),
            *(explore.choices, explore.forget, explore.allocation.section),
        ],
        concurrency_limit=4,
        **_QUIET,
    )
    explore.forget.click(lambda: forget(explore), None, explore.chosen, concurrency_limit=None, **_QUIET)
    explore.result.stop.click(
        lambda view: stop(explore, studio, ViewState.parse(view)),
        explore.seen,
        explore.outputs,
        concurrency_limit=None,
        **_QUIET,
    )
    explore.result.again.click(
        lambda view: choose_the_same(explore, studio, ViewState.parse(view)),
        explore.seen,
        [*explore.chooser.inputs, explore.chooser.preset, explore.result.note],
        concurrency_limit=None,
        **_QUIET,
    )
    explore.seen.click(  # pressed by the script of the page when the run has turned: finished, stopped, gone
        lambda view: reopen(explore, studio, ViewState.parse(view)),
        explore.seen,
        explore.outputs,
        concurrency_limit=None,
        **_QUIET,
    ).then(  # what it downloaded is on this machine now
        choose.checked_for_visitor(explore.chooser, studio),
        explore.chooser.inputs,
        explore.chooser.checked,
        concurrency_limit=None,
        **_QUIET,
    )


def _wire_differing(explore: Explore, studio: Studio) -> None:
    """Another run is shown: the choices may be those of another one."""
    explore.seen.change(
        lambda view, *given: choose.compare(
            explore.chooser, studio, explore.chooser.values(given), ViewState.parse(view).run
        ),
        [explore.seen, *explore.chooser.inputs],
        explore.chooser.differs,
        trigger_mode="always_last",
        concurrency_limit=None,
        **_QUIET,
    )


def _wire_rounding(explore: Explore, studio: Studio) -> None:
    rounding.wire(
        explore.rounding,
        studio,
        explore.seen,
        lambda view: [studio.record(ViewState.parse(view).run)],
        lambda view: reopen(explore, studio, ViewState.parse(view)),
        explore.outputs,
    )


def wanted(studio: Studio, asked: str | None, last: Any) -> str:
    """The run that a visitor wants to see: that of the link, else their own that still goes on; else none."""
    if asked:
        return asked
    return last if isinstance(last, str) and last and _still_live(studio, last) else ""


def recall(explore: Explore, studio: Studio, run_id: str, remembered_values: Any) -> dict[Any, Any]:
    """The choices follow the run that is shown, so that Prune would do again what one sees; beside a sample they are
    those of the visitor's last run."""
    try:
        job = studio.record(run_id).job if run_id else None
    except PruneError:
        job = None  # `arrive` says so
    own = remembered.recalled(explore.chooser.kind, remembered_values, _first(explore), studio.policy)
    there = {explore.forget: gr.update(visible=True)} if own else {}
    job = job or own
    return there | (choose.fill(explore.chooser, job, studio.policy) if job else {})


def forget(explore: Explore) -> dict[Any, Any]:
    """The choices that the page proposes to everybody, and none remembered."""
    first = {control: _first(explore)[path] for path, control in explore.chooser.controls.items()}
    proposed = {explore.chooser.preset: explore.chooser.preset.value}
    return first | proposed | {explore.choices: {}, explore.forget: gr.update(visible=False)}


def _first(explore: Explore) -> dict[str, Any]:
    return {path: getattr(control, "value", None) for path, control in explore.chooser.controls.items()}


def arrive(explore: Explore, studio: Studio, run_id: str | None) -> dict[Any, Any]:
    """The run of this id, or a sentence and a sample where there is none."""
    if not run_id:
        return empty(explore, studio)
    try:
        return open_run(explore, studio, studio.record(run_id), link=True)
    except PruneError:
        gone = f"There is no run {run_id[:60]} here; it may have been deleted, or belong to another machine."
    except Exception:  # a page that stays as it is would look like an answer
        _log.exception("Run %s could not be shown", run_id[:60])
        gone = f"Run {run_id[:60]} cannot be shown; the log of the app says why."
    note = f"{gone} Below is a recorded sample instead." if studio.first_sample else gone
    shown = empty(explore, studio, note)
    return shown | {explore.seen: {**shown.get(explore.seen, {}), "asked": run_id[:60]}}  # news to its script


def empty(explore: Explore, studio: Studio, note: str = "") -> dict[Any, Any]:
    """Nothing has been run here: the first recorded sample fills the charts."""
    said: dict[Any, Any] = {explore.result.note: str(sentence_card(note)) if note else ""}
    if studio.first_sample is None:
        return said
    return open_run(explore, studio, studio.first_sample, link=False) | said


def open_run(explore: Explore, studio: Studio, record: RunRecord, link: bool) -> dict[Any, Any]:
    """Everything that a tab shows of a run. `link`: whether the address should name it."""
    own = not record.id.startswith("sample-")
    studio.streams.shows(record.id)  # what is still answered about another one is not for these sections
    view = shows(studio, record) | {"link": link}  # before the parts: what moves in between is news
    return (
        result.show(explore.result, studio, record)
        | push.show(explore.pushing, studio, record)
        | inside.show(explore.inside, studio, record)
        | inside_model.show(explore.inside_model, studio, record)
        | read.show(explore.reading, studio, record)
        | measure.show(explore.measuring, studio, record)
        | recover.show(explore.recovering, studio, record)
        | law.show(explore.law, studio, [record])
        | below.show_stopped(explore.searching, studio, record)
        | rounding.show(explore.rounding, [record])
        | {
            explore.result.note: "",
            explore.seen: view,
            explore.folded: str(chosen_line(record, studio.title(record))),
            explore.last_run: record.id if own else gr.skip(),
        }
    )


def reopen(explore: Explore, studio: Studio, seen: ViewState) -> dict[Any, Any]:
    """The run that this tab shows has turned: show all of it again, buttons included."""
    try:
        record = studio.record(seen.run)
    except PruneError as error:
        studio.streams.shows("")
        gone = {explore.seen: {}, explore.result.stop: gr.update(visible=False)}
        return gone | {explore.result.note: str(sentence_card(str(error)))}
    checks.forget()  # the model may be on this machine now
    return open_run(explore, studio, record, link=not studio.is_sample(record.id))


def start(explore: Explore, studio: Studio, values: dict[str, Any]) -> dict[Any, Any]:
    """Prune was pressed: check once more, queue the run and its rivals, show the first."""
    checked = choose.check(explore.chooser, studio, values)
    try:
        jobs = jobs_of(explore.chooser.kind, values, studio.policy)
        facts = checks.facts_for(studio, jobs[0].model.id)
        if checks.estimate_of(studio, jobs, facts).refusal:
            return checked
        terms.accept(jobs[0].model.id)  # `jobs_of` would have refused without the tick
        run_id = studio.submit(jobs, hub_token.handed() if _needs_token(facts) else None)
        kept = {
            explore.choices: remembered.kept(jobs[0], studio.policy),
            explore.forget: gr.update(visible=True),
        }
        shown = open_run(explore, studio, studio.record(run_id), link=True)
        return checked | kept | shown | allocation.hide(explore.allocation)
    except PruneError as error:
        refusal = sentence_card(str(error), choose.element_of(error))
        return checked | {explore.chooser.preflight: str(refusal)}
    except Exception:
        _log.exception("The run could not be started")
        said = str(sentence_card("The run could not be started; the log of the app says why."))
        return checked | {
            explore.chooser.preflight: said,
            explore.chooser.prune: gr.update(interactive=False),
        }


def _needs_token(facts: ModelFacts) -> bool:
    """Whether the worker must ask the Hub in the name of whoever started the run."""
    return facts.members_only and not facts.cached


def stop(explore: Explore, studio: Studio, seen: ViewState) -> dict[Any, Any]:
    try:
        studio.cancel(seen.run)
    except PruneError as error:
        return {explore.result.note: str(sentence_card(str(error)))}
    return reopen(explore, studio, seen)


def choose_the_same(explore: Explore, studio: Studio, seen: ViewState) -> dict[Any, Any]:
    """Put what this run was asked for into the chooser, to change one thing and prune again."""
    try:
        return choose.fill(explore.chooser, studio.record(seen.run).job, studio.policy)
    except PruneError as error:
        return {explore.result.note: str(sentence_card(str(error)))}


def _still_live(studio: Studio, run_id: str) -> RunRecord | None:
    try:
        record = studio.record(run_id)
    except PruneError:
        return None  # deleted since, or from another machine: nothing to go back to
    return record if shows(studio, record)["live"] else None
