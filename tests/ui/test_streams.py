"""What is still answered about one run never lands on the page of another."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import gradio as gr
import pytest
from gradio.context import LocalContext
from ui_helpers import FakeLauncher, FakeReader, FakeStore, some_events

from apt_core.base.paths import ASSETS
from apt_core.base.policy import HostPolicy
from apt_core.events import Failed
from apt_core.measure.inside.questions import Looking
from apt_core.measure.questions import Answered, Step
from apt_core.ui.exchange import Exchange
from apt_core.ui.streams import Streams
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.views.answers import PAIR

RUN, OTHER = "20261124-100000-abcd", "20261124-100001-abcd"
NOTHING = {}  # what Gradio sends again when a stream ends must change nothing
VALUES = ("Why?", 8, 0.7, 0.95, 0, True)
ANSWERED = Answered(
    dense="a b", pruned="a c", dense_tokens=2, pruned_tokens=2, first_divergence=1, seconds=1.0
)


@contextmanager
def tab(name):
    """An event of this page load."""
    LocalContext.request.set(gr.Request(session_hash=name))
    try:
        yield
    finally:
        LocalContext.request.set(None)


class Inspector:
    """Goes on reading blocks until it is stopped or closed."""

    def __init__(self):
        self.stopped, self.closed = [], threading.Event()
        self._end = threading.Event()

    def kept(self, question):
        return None

    def stop(self, question):
        self.stopped.append(question)
        self._end.set()

    def ask(self, question, asker=""):
        try:
            while not self._end.wait(0.01):
                yield Looking(done=1, total=3, detail="blocks")
        finally:
            self.closed.set()


def slowly():
    """0, 1, ... a hundred a second, for longer than any test waits."""
    for number in range(3_000):
        time.sleep(0.01)
        yield number


@pytest.fixture
def studio():
    store = FakeStore(ASSETS / "models" / "tiny-random-llama")
    for run in (RUN, OTHER):
        store.put(run, some_events())
    steps = (Step(index=index, dense="a", pruned="a") for index in slowly())
    return Studio(store, FakeLauncher(store), FakeReader(), {}, inspector=Inspector()), steps


def handler(page, component, kind="click"):
    """The function that hangs on an event of a component."""
    return next(fn.fn for fn in page.fns.values() if (component._id, kind) in fn.targets)


@pytest.fixture
def wired(studio):
    """(page, explore, studio, replies of the reader)"""
    found, steps = studio
    with gr.Blocks() as page:
        explore = explore_tab.lay_out(HostPolicy())
        explore_tab.wire(explore, found, page)
    return page, explore, found, steps


def asked(name, page, explore):
    """The stream of updates that a press begins on the page of RUN."""
    view, reading = {"run": RUN}, explore.reading
    if name == "layer":
        return handler(page, explore.inside.look)(view, "0:self_attn.q_proj", True, None)
    if name == "depth":
        return handler(page, explore.inside_model.asks["depth"])(view)
    if name == "prompt":
        return handler(page, reading.ask)(view, [], False, *VALUES)
    if name == "prompts":
        return handler(page, reading.several.ask)(view, [], "a\nb", *VALUES)
    exchange = Exchange(None, ANSWERED.model_copy(update={"dense_ids": (1, 2)}), (RUN,), PAIR)
    return handler(page, reading.gap.toggle, "input")(True, exchange)


@pytest.mark.parametrize("name", ["layer", "depth", "prompt", "prompts", "gap"])
def test_nothing_more_comes_once_the_tab_shows_another_run(wired, name):
    page, explore, studio, steps = wired
    studio.reader.replies = steps if name != "gap" else (Failed(reason="busy", message="Busy."),) * 3
    with tab("one"):
        updates = asked(name, page, explore)
        assert next(updates)
        explore_tab.arrive(explore, studio, OTHER)
        assert list(updates) == [NOTHING]
    if name in ("layer", "depth"):
        assert studio.inspector.closed.wait(10)
        assert [question.run for question in studio.inspector.stopped] == [RUN]
    assert not studio.streams._streams


def test_another_tab_goes_on_and_the_same_one_may_ask_again(wired):
    page, explore, studio, _ = wired
    studio.reader.replies = (Step(index=0, dense="a", pruned="a"), ANSWERED)
    with tab("one"):
        updates = asked("prompt", page, explore)
        assert next(updates)
    with tab("two"):
        explore_tab.arrive(explore, studio, OTHER)
    with tab("one"):
        assert any(explore.reading.exchange in update for update in updates)
        explore_tab.arrive(explore, studio, RUN)
        *_, last = asked("prompt", page, explore)
        assert last[explore.reading.ask]["interactive"]


def test_a_question_that_waited_in_line_while_another_run_was_opened_is_not_asked(wired):
    page, explore, studio, _ = wired
    with tab("one"):
        explore_tab.arrive(explore, studio, OTHER)
        assert list(asked("prompt", page, explore)) == [NOTHING] and studio.reader.asked == []


def test_stop_ends_the_stream_of_its_place_and_tab():
    streams, stops = Streams(), {}

    def updates(name):
        def of(stop):
            stops[name] = stop
            yield from ({"said": 1}, {"said": 2})

        return of

    with tab("one"):
        first = streams.while_shown(RUN, "ask", updates("first"))
        other = streams.while_shown(RUN, "depth", updates("other"))
        assert next(first) == next(other) == {"said": 1}
        streams.stop("ask")
    assert stops["first"].is_set() and not stops["other"].is_set()
    assert list(first) == [{"said": 2}]  # its own last word comes


def test_what_is_of_no_run_goes_on_while_another_is_opened_until_stop():
    streams, stops = Streams(), []

    def updates(stop):
        stops.append(stop)
        yield from ({"said": 1}, {"said": 2}, {"said": 3})

    with tab("one"):
        stream = streams.until_stopped("allocation", updates)
        assert next(stream) == {"said": 1}
        streams.shows(OTHER)
        assert next(stream) == {"said": 2} and not stops[0].is_set()
        streams.stop("allocation")
        assert stops[0].is_set() and list(stream) == [{"said": 3}] and not streams._streams


def test_what_is_remembered_of_tabs_is_bounded(monkeypatch):
    monkeypatch.setattr("apt_core.ui.streams._MOST_TABS", 3)
    streams = Streams()
    for number in range(5):
        with tab(f"tab {number}"):
            streams.shows(RUN)
    assert list(streams._shown) == ["tab 2", "tab 3", "tab 4"]
