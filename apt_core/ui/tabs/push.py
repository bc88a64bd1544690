"""Push to the Hub: what the shown run made goes into the visitor's own namespace, in the background."""

from __future__ import annotations

import logging
import time
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import CannotWrite, PruneError
from apt_core.events.records import RunRecord
from apt_core.models.fetch import hub_token
from apt_core.ui.forms.account import check_may_write, token_of
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.push_state import exists_card, push_state
from apt_core.ui.views.run_view import ViewState

_log = logging.getLogger(__name__)
_MOST_TEXT = 200  # letters of a name
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class PushSection(NamedTuple):
    """asked: the repository that exists already, about which the page has asked; empty for none."""

    section: gr.Accordion
    name: gr.Textbox
    who: gr.Radio
    start: gr.Button
    note: gr.HTML
    replace: gr.Button
    keep: gr.Button
    asked: gr.State
    state: gr.HTML
    timer: gr.Timer

    @property
    def shown(self) -> list[Any]:
        """What a press changes."""
        return [self.note, self.replace, self.keep, self.asked, self.state, self.timer]

    @property
    def outputs(self) -> list[Any]:
        return [self.section, self.name, *self.shown]


def lay_out() -> PushSection:
    """Draw the folded section inside the current Blocks context."""
    with gr.Accordion(
        "Push to the Hub", open=False, visible=False, elem_id="push", elem_classes="fold"
    ) as section:
        name = gr.Textbox(
            label="Repository",
            info="A new one in your own namespace; one that is there already is asked about first",
            max_lines=1,
            max_length=_MOST_TEXT,
            elem_id="push-name",
        )
        who = gr.Radio(
            [("Private", "private"), ("Public", "public")],
            value="private",
            label="Who sees it",
            elem_id="push-who",
        )
        start = gr.Button("Push", elem_id="push-start")
        note = html("push-note")
        with gr.Row():
            replace = gr.Button(
                "Add a commit to it", variant="stop", size="sm", visible=False, elem_id="push-replace"
            )
            keep = gr.Button("Leave it as it is", size="sm", visible=False, elem_id="push-keep")
    state = html("push-state")
    timer, asked = gr.Timer(1.0, active=False), gr.State("")
    return PushSection(section, name, who, start, note, replace, keep, asked, state, timer)


def wire(push: PushSection, studio: Studio, seen: gr.HTML) -> None:
    def pressed(token: gr.OAuthToken | None, view: Any, name: Any, who: Any) -> dict[Any, Any]:
        return start(push, studio, ViewState.parse(view).run, name, who, token)

    def agreed(token: gr.OAuthToken | None, view: Any, asked: Any, who: Any) -> dict[Any, Any]:
        return start(push, studio, ViewState.parse(view).run, asked, who, token, replace=True)

    def opened(token: gr.OAuthToken | None, view: Any, name: Any) -> dict[Any, Any]:
        return propose(push, studio, ViewState.parse(view).run, name, token)

    more: dict[str, Any] = {"concurrency_limit": 4, **_QUIET}
    push.section.expand(opened, [seen, push.name], [push.name, push.note], **more)
    gr.on(
        [push.start.click, push.name.submit],
        pressed,
        [seen, push.name, push.who],
        push.shown,
        **more,
    )
    push.replace.click(agreed, [seen, push.asked, push.who], push.shown, **more)
    push.keep.click(lambda: _asks_nothing(push) | {push.note: ""}, None, push.shown, **more)
    push.timer.tick(lambda view: now(push, studio, ViewState.parse(view).run), seen, push.shown, **more)


def show(push: PushSection, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """The section beside a run whose model the visitor may push."""
    offered = studio.pushing.offered(record)
    name = studio.pushing.proposed(record) if offered else ""
    return {
        push.section: gr.update(visible=offered),
        push.name: name,
        push.note: "",
        **_asks_nothing(push),
        **_state(push, studio, record),
    }


def propose(
    push: PushSection, studio: Studio, run_id: str, name: Any, token: gr.OAuthToken | None
) -> dict[Any, Any]:
    """The name in the visitor's own namespace, or why there is none; one that was typed stays."""
    try:
        check_may_write(token)
        with hub_token.of_visitor(token_of(token)):
            record = studio.record(run_id)
            whole = studio.pushing.proposed_whole(record)
        typed = name not in (None, "", studio.pushing.proposed(record))
        return {push.name: name if typed else whole, push.note: ""}
    except PruneError as error:
        return {push.note: str(sentence_card(str(error)))}


def start(
    push: PushSection,
    studio: Studio,
    run_id: str,
    name: Any,
    who: Any,
    token: gr.OAuthToken | None,
    replace: bool = False,
) -> dict[Any, Any]:
    """Push was pressed: begin, or ask about a repository that is there; whatever is in the way is a sentence."""
    repo = str(name or "").strip()[:_MOST_TEXT]
    try:
        check_may_write(token)
        with hub_token.of_visitor(token_of(token)):
            repo = studio.pushing.whole_name(repo)
            studio.pushing.begin(run_id, repo, private=who != "public", replace=replace)
    except CannotWrite:
        return _asks(push, repo)
    except PruneError as error:
        return _asks_nothing(push) | {push.note: str(sentence_card(str(error)))}
    except Exception:
        _log.exception("The push of run %s could not begin", run_id)
        said = "The push could not begin; the log of the app says why."
        return _asks_nothing(push) | {push.note: str(sentence_card(said))}
    return _asks_nothing(push) | {push.note: ""} | _state(push, studio, studio.record(run_id))


def now(push: PushSection, studio: Studio, run_id: str) -> dict[Any, Any]:
    """How far it is, once a second."""
    try:
        return _state(push, studio, studio.record(run_id))
    except PruneError:  # deleted meanwhile
        return {push.state: "", push.timer: gr.update(active=False)}


def _asks(push: PushSection, repo: str) -> dict[Any, Any]:
    return {
        push.note: str(exists_card(repo)),
        push.asked: repo,
        push.replace: gr.update(visible=True),
        push.keep: gr.update(visible=True),
    }


def _asks_nothing(push: PushSection) -> dict[Any, Any]:
    hidden = gr.update(visible=False)
    return {push.asked: "", push.replace: hidden, push.keep: hidden}


def _state(push: PushSection, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    known = studio.pushing.of(record)
    going = known is not None and known.live
    return {push.state: str(push_state(known, time.time())), push.timer: gr.update(active=going)}
