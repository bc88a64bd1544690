"""What Gradio keeps for each page load, reduced and released: a visitor who has gone holds no memory.

For every page load Gradio keeps the configuration of all components (for its deep links, which this page has not) and
a new component for each one that an event has updated: more than a megabyte, until ten thousand have come. Here a page
load keeps values of `gr.State`, and the components whose choices were changed, as those are what the server checks a
value against; and it ends some minutes after its tab has closed. A tab that comes back later starts anew, and finds its
run by its address.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from copy import copy
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.routes import App
from gradio.state_holder import SessionState, StateHolder
from starlette.routing import Mount

_MINUTES_CLOSED = 10.0  # a connection that breaks is there again before
_MINUTES_SILENT = 12 * 60.0  # of a tab that never said that it closed
_MOST = 1_000  # page loads whose state is kept, whatever they do


class Session(SessionState):
    """One page load. What it shares with all others is the page's own configuration, until something is changed."""

    def __init__(self, page: gr.Blocks):
        # Not Gradio's own `__init__`, which copies that; a test says when it sets anything else.
        self._page = page
        self._updated: tuple[int, Any] | None = None  # the last component that an event has updated
        self.blocks_config = page.default_config
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = int(60 * _MINUTES_CLOSED)

    def __getitem__(self, key: int) -> Any:
        """An updated component is read right after it was set: what is sent to the browser is taken from it."""
        if self._updated is not None and self._updated[0] == key:
            return self._updated[1]
        return super().__getitem__(key)

    def __setitem__(self, key: int, value: Any) -> None:
        if isinstance(self.blocks_config.blocks.get(key), gr.State):
            super().__setitem__(key, value)
            self.config_values.clear()
            return
        self._updated = key, value
        if self._has_to_be_kept(key, value):
            if self.blocks_config is self._page.default_config:
                self.blocks_config = copy(self.blocks_config)
            self.blocks_config.blocks[key] = value

    def _has_to_be_kept(self, key: int, value: Any) -> bool:
        """Whether a component is looked at again: one that offers other choices than before."""
        before = self.blocks_config.blocks.get(key)
        return before is not None and _choices(value) != _choices(before)

    def _update_config(self, key: int) -> None:
        """Nothing is kept for deep links."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Nothing is kept for deep links."""


def _choices(component: Any) -> Any:
    """As they were asked for; None for a component that offers none."""
    return component.constructor_args.get("choices")


class Sessions(StateHolder):
    """The page loads by their session; Gradio asks once a second what has ended."""

    def __init__(
        self,
        page: gr.Blocks,
        most: int = _MOST,
        clock: Callable[[], datetime.datetime] = datetime.datetime.now,
    ):
        super().__init__()
        page.state_session_capacity = most
        self.set_blocks(page)
        self._clock = clock

    def __getitem__(self, session_id: str) -> SessionState:
        with self.lock:
            if session_id not in self.session_data:
                self.session_data[session_id] = Session(self.blocks)
            self.time_last_used[session_id] = self._clock()
            found = self.session_data[session_id]
        self.update(session_id)
        return found

    def delete_all_expired_state(self) -> None:
        """Forget the page loads whose tab has closed, or has been silent for long."""
        now = self._clock()
        with self.lock:
            for session_id, session in list(self.session_data.items()):
                minutes = _MINUTES_CLOSED if session.is_closed else _MINUTES_SILENT
                if (now - self.time_last_used[session_id]).total_seconds() > 60 * minutes:
                    del self.session_data[session_id], self.time_last_used[session_id]


def keep_light(around: FastAPI, page: gr.Blocks) -> Sessions:
    """Let the Gradio application that is mounted in another keep its page loads this way."""
    mounted = next(
        route.app for route in around.routes if isinstance(route, Mount) and isinstance(route.app, App)
    )
    sessions = mounted.state_holder = Sessions(page)
    return sessions
