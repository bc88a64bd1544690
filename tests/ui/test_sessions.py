"""A page load keeps what its own events changed, little of it, and not for long."""

from __future__ import annotations

import copy
import datetime

import gradio as gr
import pytest
from fastapi import FastAPI
from gradio.state_holder import SessionState
from ui_helpers import FakeLauncher, FakeReader, FakeStore

from apt_core.ui import page as page_module
from apt_core.ui import sessions as sessions_module
from apt_core.ui.sessions import Session, Sessions, keep_light
from apt_core.ui.studio import Studio


@pytest.fixture(scope="module")
def parts():
    with gr.Blocks() as page:
        state, number = gr.State([1]), gr.Number(3)
        choice = gr.Dropdown(["a", "b"], value="a")
        button = gr.Button("Go")
        button.click(lambda: 1, None, number)
    return page, state, number, choice


class Clock:
    def __init__(self):
        self.now = datetime.datetime(2026, 1, 1)

    def __call__(self):
        return self.now

    def pass_(self, **time):
        self.now += datetime.timedelta(**time)


def test_it_has_all_that_gradios_own_has(parts):
    """Whatever a later Gradio adds has to be set here too."""
    page = parts[0]
    assert set(vars(Session(page))) - {"_page", "_updated"} == set(vars(SessionState(page)))


def test_values_of_state_are_the_page_loads_own(parts):
    page, state, *_ = parts
    one, other = Session(page), Session(page)
    one[state._id].append(2)
    assert (one[state._id], other[state._id], state.value) == ([1, 2], [1], [1])
    one[state._id] = "new"
    assert one[state._id] == "new" and other[state._id] == [1] and one.config_values == {}


def test_other_choices_are_kept_and_nothing_else(parts):
    page, _, number, choice = parts
    session, before = Session(page), dict(page.default_config.blocks)
    session[number._id] = gr.Number(**number.constructor_args | {"visible": False, "render": False})
    assert session[number._id].visible is False, "what is sent to the browser is taken from it"
    session[choice._id] = gr.Dropdown(**choice.constructor_args | {"visible": False, "render": False})
    assert session[number._id] is number
    session._update_config(number._id)
    session._update_value_in_config(number._id, 7)
    assert session.blocks_config is page.default_config and session.config_values == {}
    more = gr.Dropdown(**choice.constructor_args | {"choices": ["c"], "render": False})
    session[choice._id] = more
    assert session[choice._id] is more and Session(page)[choice._id] is choice
    assert page.default_config.blocks == before


def test_a_closed_page_load_goes_after_minutes_a_silent_one_after_hours(parts):
    clock = Clock()
    held = Sessions(parts[0], clock=clock)
    held["closed"].is_closed = True
    held["open"], held["used"]
    held["used"].is_closed = True
    clock.pass_(minutes=8)
    held["used"]
    held.delete_all_expired_state()
    assert set(held.session_data) == {"closed", "open", "used"}
    clock.pass_(minutes=4)
    held.delete_all_expired_state()
    assert set(held.session_data) == set(held.time_last_used) == {"open", "used"}
    clock.pass_(hours=13)
    held.delete_all_expired_state()
    assert not held.session_data and not held.time_last_used


def test_so_many_are_kept_the_last_used_ones(parts):
    held = Sessions(parts[0], most=3)
    for name in ("a", "b", "c", "a", "d"):
        held[name]
    assert list(held.session_data) == ["c", "a", "d"] and set(held.time_last_used) == {"a", "c", "d"}


def test_the_page_that_is_served_keeps_them_this_way():
    store = FakeStore()
    page = page_module.build(Studio(store, FakeLauncher(store), FakeReader(), {}))
    around = gr.mount_gradio_app(FastAPI(), page, path="/")
    held = keep_light(around, page)
    mounted = next(
        route.app for route in around.routes if hasattr(getattr(route, "app", None), "state_holder")
    )
    assert mounted.state_holder is page.state_holder is held and held.capacity == sessions_module._MOST
    session = held["tab"]
    assert isinstance(session, Session) and session.blocks_config is page.default_config
    assert copy.copy(page.default_config).blocks == page.default_config.blocks
