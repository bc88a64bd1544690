"""The Sweep tab: a grid of runs, or a search for the highest sparsity, over what is chosen under Explore."""

from __future__ import annotations

import logging
import re
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune, make_value
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space, make_space
from apt_core.jobs.study import Study
from apt_core.methods import METHODS
from apt_core.methods.registry import COMPONENTS
from apt_core.models.catalogue import terms
from apt_core.models.fetch import hub_token
from apt_core.plots import study_charts
from apt_core.studies.bisection import MOST_RUNS, Ask, first_job, next_job
from apt_core.studies.rounded import on_their_way, rounds
from apt_core.studies.sweep import BISECTION, can_go_on, check_is_sweep, live, rows_of
from apt_core.ui.forms import checks
from apt_core.ui.forms.account import token_of
from apt_core.ui.forms.choose import Chooser
from apt_core.ui.forms.form import check_terms, read
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import rounding
from apt_core.ui.tabs.result import html, section
from apt_core.ui.tabs.rounding import RoundingSection
from apt_core.ui.views.cards import at_most_line, preflight_card, sentence_card
from apt_core.ui.views.earlier_sweeps import earlier_sweeps
from apt_core.ui.views.html import Markup, join
from apt_core.ui.views.sweep_charts import PREFIX, looks_of, sweep_charts
from apt_core.ui.views.sweep_table import sweep_view

_log = logging.getLogger(__name__)
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LONGEST_LIST = 1000  # letters: 64 seeds of ten digits and what stands between them
_LONGEST_RECIPES = 64 * 501
_AT_HALF = {"pattern.kind": "unstructured", "pattern.sparsity": 50}  # which every method and allocation takes
_MOST_WORSE = 900  # percent of the dense perplexity


class SweepTab(NamedTuple):
    earlier: gr.HTML  # links to those that the visitor made before
    axes: dict[str, Any]  # field of the space -> its control
    within: gr.Number
    estimate: gr.HTML
    start: gr.Button
    find: gr.Button
    find_estimate: gr.HTML  # what a search would take at most
    note: gr.HTML
    view: gr.HTML
    stop: gr.Button
    go_on: gr.Button
    rounding: RoundingSection
    study: gr.State  # the id of the study that is shown
    timer: gr.Timer  # ticks while it goes on
    charts: dict[str, gr.HTML]  # the parts of its charts
    looks: gr.State  # how they look: they are sent again only when that changes

    @property
    def shown(self) -> list[Any]:
        """What showing a study changes."""
        own = [self.note, self.view, self.stop, self.go_on, self.study, self.timer, self.looks]
        return [*own, *self.rounding.outputs, *self.charts.values()]

    @property
    def openers(self) -> list[gr.HTML]:
        """The parts whose links open a run."""
        return [self.view]


def lay_out() -> SweepTab:
    gr.HTML(
        "<h2>Sweep</h2><p class='lead'>Many runs of one model, each with other choices. Model, texts and "
        "options are those under Explore; here is what varies.</p>",
        apply_default_css=False,
    )
    earlier = html("sweep-earlier", opens=True)
    axes = {
        "methods": gr.CheckboxGroup(
            [(kind.title, name) for name, kind in METHODS.items()],
            value=["apt", "wanda"],
            label=_title("methods"),
        ),
        "patterns": gr.Textbox("0.3, 0.5, 2:4", max_lines=1, **_said("patterns")),
        "allocations": gr.CheckboxGroup(
            [(kind.title, name) for name, kind in COMPONENTS["allocation"].items()],
            label=_title("allocations"),
            info="None ticked: each method's own.",
        ),
    }
    with gr.Row():
        axes["seeds"] = gr.Textbox("", max_lines=1, min_width=120, **_said("seeds"))
        axes["samples"] = gr.Textbox("", max_lines=1, min_width=120, **_said("samples"))
    axes["recipes"] = gr.Textbox("", lines=2, max_lines=8, **_said("recipes"))
    estimate = html("sweep-estimate")
    start = gr.Button("Start the sweep", variant="primary", elem_id="sweep-start")
    gr.HTML(
        "<h3>Or find how much can go</h3><p class='quiet'>The highest sparsity that the method under Explore reaches "
        "before perplexity is worse than the dense one's by more than this, in at most "
        f"{MOST_RUNS} runs.</p>",
        apply_default_css=False,
    )
    with gr.Row():
        within = gr.Number(
            10,
            precision=0,
            label="Max perplexity increase, %",
            min_width=120,
            scale=1,
            elem_id="sweep-within",
        )
        find = gr.Button("Find the highest sparsity", elem_id="sweep-find", min_width=160, scale=3)
    find_estimate = html("sweep-find-estimate")
    note = html("sweep-note")
    view = gr.HTML(
        "", elem_id="sweep", apply_default_css=False, js_on_load="window.aptStudio.sweeps(element, trigger);"
    )
    with gr.Row():
        stop = gr.Button("Stop the sweep", variant="stop", visible=False, elem_id="sweep-stop", min_width=120)
        go_on = gr.Button("Go on", visible=False, elem_id="sweep-go-on", min_width=120)
    rounded = rounding.lay_out(PREFIX)
    drawn: dict[str, gr.HTML] = {}
    for one in study_charts():
        drawn |= section(one, PREFIX)
    timer, study, looks = gr.Timer(2.0, active=False), gr.State(""), gr.State("")
    buttons = (estimate, start, find, find_estimate)
    return SweepTab(
        earlier, axes, within, *buttons, note, view, stop, go_on, rounded, study, timer, drawn, looks
    )


def _title(axis: str) -> str:
    return str(Space.model_fields[axis].title)


def _said(axis: str) -> dict[str, Any]:
    """The words of an axis, from its field."""
    info = Space.model_fields[axis].description or "separated by commas; none: as under Explore"
    return {"label": _title(axis), "info": info[:1].upper() + info[1:]}


def wire(tab: SweepTab, item: gr.Tab, chooser: Chooser, studio: Studio) -> None:
    inputs = [*tab.axes.values(), tab.within, *chooser.inputs]
    n_own = len(tab.axes) + 1

    def split(values: tuple[Any, ...]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
        axes = dict(zip(tab.axes, values, strict=False))
        return axes, values[n_own - 1], chooser.values(values[n_own:])

    def estimated(*values: Any) -> dict[Any, Any]:
        return estimate(tab, studio, *split(values)[::2])

    def search_estimated(*values: Any) -> dict[Any, Any]:
        return estimate_search(tab, studio, *split(values)[1:])

    def started(token: gr.OAuthToken | None, *values: Any) -> dict[Any, Any]:
        with hub_token.of_visitor(token_of(token)):
            return start(tab, studio, *split(values)[::2])

    def found(token: gr.OAuthToken | None, *values: Any) -> dict[Any, Any]:
        axes, within, chosen = split(values)
        with hub_token.of_visitor(token_of(token)):
            return find(tab, studio, axes, within, chosen)

    def went_back(event: gr.EventData) -> Any:
        return opened(tab, studio, event)

    item.select(lambda: earlier_sweeps(studio), None, tab.earlier, **_QUIET)
    item.select(estimated, inputs, [tab.estimate, tab.start], **_QUIET)
    for changed in (item.select, tab.within.change):
        changed(search_estimated, inputs, [tab.find_estimate, tab.find], **_QUIET)
    for control in tab.axes.values():
        control.change(estimated, inputs, [tab.estimate, tab.start], **_QUIET)
    tab.start.click(started, inputs, tab.shown, **_QUIET)
    tab.find.click(found, inputs, tab.shown, **_QUIET)
    tab.stop.click(lambda study: stop(tab, studio, study), tab.study, tab.shown, **_QUIET)
    tab.go_on.click(lambda study: go_on(tab, studio, study), tab.study, tab.shown, **_QUIET)
    tab.view.click(went_back, None, tab.shown, **_QUIET)
    rounding.wire(
        tab.rounding,
        studio,
        tab.study,
        lambda study: studio.runs_of(str(study)),
        lambda study: show(tab, studio, study),
        tab.shown,
    )
    tab.timer.tick(
        lambda study, looks: show(tab, studio, study, looks), [tab.study, tab.looks], tab.shown, **_QUIET
    )


def opened(tab: SweepTab, studio: Studio, event: gr.EventData) -> Any:
    """The sweep that Back or Forward leads to."""
    data = event._data if isinstance(event._data, dict) else {}
    wanted = data.get("action") == "study"
    return show(tab, studio, str(data.get("study") or "")[:100]) if wanted else gr.skip()


def space_of(studio: Studio, axes: dict[str, Any], chosen: dict[str, Any]) -> Space:
    """The grid over what is chosen under Explore; raises BadInput with one sentence."""
    check_terms(chosen.get("model"), chosen.get("terms"), studio.policy)
    grid: dict[str, tuple[Any, ...]] = {
        "methods": _ticked(axes.get("methods")),
        "patterns": tuple(_listed(axes.get("patterns"))),
        "allocations": _ticked(axes.get("allocations")),
        "seeds": _numbers(axes.get("seeds")),
        "samples": _numbers(axes.get("samples")),
    }
    recipes = _lines(axes.get("recipes"))
    other = grid["patterns"] or (recipes and not any(grid.values()))  # than the pattern that is chosen
    base = read(Prune, chosen | _AT_HALF if other else chosen, studio.policy)
    return make_space(base, **grid, recipes=recipes)


def _ticked(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _listed(value: Any) -> list[str]:
    return [one for one in re.split(r"[,;\s]+", _text(value, _LONGEST_LIST)) if one]


def _lines(value: Any) -> tuple[str, ...]:
    return tuple(line for line in _text(value, _LONGEST_RECIPES).splitlines() if line.strip())


def _text(value: Any, longest: int) -> str:
    """What was typed; raises BadInput rather than to read a part of it."""
    text = str(value or "")
    if len(text) > longest:
        raise BadInput(
            f"One of the fields of the sweep holds more than {longest:,} letters; write less into it."
        )
    return text


def _numbers(value: Any) -> tuple[int, ...]:
    try:
        return tuple(map(int, _listed(value)))
    except ValueError as error:
        raise BadInput(f"Write whole numbers with commas between them, not {str(value)[:40]!r}.") from error


def estimate(tab: SweepTab, studio: Studio, axes: dict[str, Any], chosen: dict[str, Any]) -> dict[Any, Any]:
    """What all runs will take, what is left out and why; or one sentence that says why it cannot be."""
    try:
        jobs, dropped = space_of(studio, axes, chosen).expand(studio.policy.sweep_runs)
        needs = checks.estimate_of(studio, list(jobs), checks.facts_for(studio, jobs[0].model.id))
    except PruneError as error:
        return {tab.estimate: str(sentence_card(str(error))), tab.start: gr.update(interactive=False)}
    said = join(Markup('<p class="quiet">{}</p>').format(sentence) for sentence in dropped)
    cap = Markup('<p class="quiet">A sweep holds at most {} runs here.</p>').format(studio.policy.sweep_runs)
    return {
        tab.estimate: str(preflight_card(needs, len(jobs)) + said + cap),
        tab.start: gr.update(interactive=needs.refusal is None),
    }


def start(tab: SweepTab, studio: Studio, axes: dict[str, Any], chosen: dict[str, Any]) -> dict[Any, Any]:
    """Check once more, queue all runs, show them."""
    try:
        space = space_of(studio, axes, chosen)
        jobs = list(space.expand(studio.policy.sweep_runs).jobs)
        return show(tab, studio, studio.sweep(space, _allowed(studio, jobs)).id)
    except PruneError as error:
        return _refused(tab, str(error))


def search_of(studio: Studio, within: Any, chosen: dict[str, Any]) -> Bisection:
    """The search with the method that is chosen under Explore; raises PruneError with one sentence."""
    check_terms(chosen.get("model"), chosen.get("terms"), studio.policy)
    base = read(Prune, chosen | _AT_HALF, studio.policy)
    if not isinstance(within, int | float) or not 1 <= within <= _MOST_WORSE:
        raise BadInput(f"Max perplexity increase: give a percentage from 1 to {_MOST_WORSE}.")
    return make_value(Bisection, base=base, within=1 + within / 100)


def estimate_search(tab: SweepTab, studio: Studio, within: Any, chosen: dict[str, Any]) -> dict[Any, Any]:
    """What a search will take at most, before it begins; or one sentence that says why it cannot be."""
    try:
        jobs = [first_job(search_of(studio, within, chosen))] * MOST_RUNS
        facts = checks.facts_for(studio, jobs[0].model.id)
        needs = checks.estimate_of(studio, jobs, facts, asked_by_results=True)
    except PruneError as error:
        return {tab.find_estimate: str(sentence_card(str(error))), tab.find: gr.update(interactive=False)}
    return {
        tab.find_estimate: str(at_most_line(needs, len(jobs))),
        tab.find: gr.update(interactive=needs.refusal is None),
    }


def find(
    tab: SweepTab, studio: Studio, axes: dict[str, Any], within: Any, chosen: dict[str, Any]
) -> dict[Any, Any]:
    """Search with the method that is chosen under Explore."""
    try:
        search = search_of(studio, within, chosen)
        token = _allowed(studio, [first_job(search)] * MOST_RUNS, asked_by_results=True)
        return show(tab, studio, studio.search(search, token).id)
    except PruneError as error:
        return _refused(tab, str(error))


def _allowed(studio: Studio, jobs: list[Prune], asked_by_results: bool = False) -> str | None:
    """The token that the workers need, None for none; raises BadInput for what the preflight refuses."""
    facts = checks.facts_for(studio, jobs[0].model.id)
    if refusal := checks.estimate_of(studio, jobs, facts, asked_by_results).refusal:
        raise BadInput(refusal)
    terms.accept(jobs[0].model.id)  # `check_terms` would have refused without the tick
    return hub_token.handed() if facts.members_only and not facts.cached else None


def stop(tab: SweepTab, studio: Studio, study_id: Any) -> dict[Any, Any]:
    try:
        studio.stop_study(str(study_id))
    except PruneError as error:
        return _refused(tab, str(error))
    return show(tab, studio, study_id)


def go_on(tab: SweepTab, studio: Studio, study_id: Any) -> dict[Any, Any]:
    try:
        studio.resume_study(str(study_id))
    except PruneError as error:
        return _refused(tab, str(error))
    return show(tab, studio, study_id)


def show(tab: SweepTab, studio: Studio, study_id: Any, seen: str = "") -> dict[Any, Any]:
    """The sweep of this id as it is now, or a sentence where there is none. seen: how the charts look that the tab
    shows already."""
    if not study_id:
        return {tab.timer: gr.Timer(active=False)}
    try:
        study = studio.study(str(study_id))
        check_is_sweep(study)
        records = studio.runs_of(study.id)
        rows = rows_of(study, records)
    except PruneError as error:
        gone = {tab.view: "", tab.timer: gr.Timer(active=False)}
        return _refused(tab, str(error)) | gone | _drawn(tab, [], seen)
    going, mine = live(rows) or _asks_for_more(study, records), studio.may_change_study(study)
    drawn = _with_rounded(studio, records)
    return {
        tab.note: "",
        tab.view: str(sweep_view(study, rows, studio.policy)),
        tab.stop: gr.update(visible=going and mine),
        tab.go_on: gr.update(visible=mine and not going and (can_go_on(study, rows) or bool(study.held))),
        tab.study: study.id,
        tab.timer: gr.Timer(active=going or bool(on_their_way(records, drawn))),
        **(rounding.there(tab.rounding, records) if seen else rounding.show(tab.rounding, records)),
        **_drawn(tab, drawn, seen),
    }


def _asks_for_more(study: Study, records: list[RunRecord]) -> bool:
    """Whether a search is between two runs: the next one follows from those that have ended, and is on its way."""
    return study.kind == BISECTION and isinstance(next_job(study, records), Ask)


def _with_rounded(studio: Studio, records: list[RunRecord]) -> list[RunRecord]:
    """These runs, and behind them what is measured of rounded models, for charts to put beside them."""
    return [*records, *filter(rounds, studio.lately())] if records else []


def _drawn(tab: SweepTab, records: list[RunRecord], seen: str) -> dict[Any, Any]:
    """The charts of these runs; nothing where they look as the tab shows them."""
    looks = looks_of(records)
    if looks == seen and records:
        return {}
    charts = sweep_charts(records, looks)
    return {tab.looks: looks} | {part: charts[name] for name, part in tab.charts.items()}


def _refused(tab: SweepTab, message: str) -> dict[Any, Any]:
    return {tab.note: str(sentence_card(message))}
