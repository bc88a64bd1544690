"""The calls that do a visitor's runs on a ZeroGPU Space, made by the visitor's own page while it is open.

Every few seconds an open page asks whether a run of its visitor waits, the shown one first, and works on it for one
call (`runs.in_calls`). So the GPU time is the visitor's own, and a run whose page was closed waits until it is open
again. The GPU's process is a fork of this one: what a run needs is imported before, and nothing of a call stays.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from apt_core.base import words
from apt_core.base.errors import BadInput, PruneError
from apt_core.base.lazy import lazy
from apt_core.base.policy import HostPolicy
from apt_core.models.fetch import hub_token
from apt_core.runs.executors import executor_of
from apt_core.runs.store import Store
from apt_core.ui.studio import Studio
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.run_view import ViewState

if TYPE_CHECKING:
    import spaces

    from apt_core.runs import in_calls
else:
    spaces, in_calls = lazy("spaces"), lazy("apt_core.runs.in_calls")

# (root of the store, run, seconds, token of the Hub, what visitors may here) -> what came of it.
Call = Callable[[str, str, float, str | None, HostPolicy], str]
_LOOK_EVERY_SECONDS = 2.0
_AT_ONCE = 8  # calls of all visitors; each holds a thread of the page until it returns
_WAIT_SECONDS = 60.0  # after a call that was not granted
_HEAVY = ("apt_core.execute.prune", "apt_core.runs.in_calls")
_log = logging.getLogger(__name__)


def open_calls(studio: Studio) -> Call | None:
    """What asks for the GPU and does a call; None where the queue starts workers itself. Tells the Space that there is
    one, as Gradio's own launch would. Raises BadInput where there can be no calls."""
    seconds = studio.launcher.executor.call_seconds()
    if seconds is None:
        return None
    if find_spec("spaces") is None:
        raise BadInput("ZeroGPU needs one more package: pip install '.[zerogpu]', or set APT_EXECUTOR=local.")
    if not spaces.config.Config.zero_gpu:
        raise BadInput(
            "APT_EXECUTOR=zerogpu is for Spaces with that hardware, and this is none; unset it, or set "
            "APT_EXECUTOR=local."
        )
    call: Call = spaces.GPU(_call, duration=math.ceil(seconds))
    for module in _HEAVY:
        import_module(module)
    spaces.zero.startup()
    return call


def _call(root: str, run_id: str, seconds: float, token: str | None, policy: HostPolicy) -> str:
    """In the GPU's process: its own connection to the store, its own process group, the visitor's token for as long as
    this takes."""
    with suppress(OSError):  # it leads one already
        os.setsid()
    hub_token.keep(token)
    try:
        return in_calls.do_call(Store(Path(root)), run_id, seconds, executor_of(os.environ).do, policy)
    finally:
        hub_token.keep(None)


class Caller:
    """Decides which run a page's call works on, and says what is in the way.

    call: does one. clock: monotonic seconds.
    """

    def __init__(self, studio: Studio, call: Call, clock: Callable[[], float] = time.monotonic):
        self._studio = studio
        self._call = call
        self._clock = clock
        self._not_before: dict[str, float] = {}

    def look(self, shown: str) -> str | None:
        """Work on the visitor's next run for one call; a sentence where that is not possible now, None otherwise.

        shown: the run that the page shows, which goes first.
        """
        run_id = self._next(shown)
        if run_id is None:
            return None
        launcher = self._studio.launcher
        seconds = launcher.executor.call_seconds()
        try:
            token, policy = launcher.token_of(run_id), self._studio.policy
            self._call(str(self._studio.store.root), run_id, seconds, token, policy)
        except Exception as error:  # of the Space: not granted, ended early, no GPU
            _log.warning("A call for run %s ended early: %s", run_id, error)
            self._not_before[run_id] = self._clock() + _WAIT_SECONDS
            return _in_the_way(error)
        self._not_before.pop(run_id, None)
        return ""

    def _next(self, shown: str) -> str | None:
        if self._studio.launcher.held_back():
            return None
        waiting = self._studio.waiting()
        ready = [run for run in waiting if self._not_before.get(run, 0.0) <= self._clock()]
        for gone in self._not_before.keys() - set(waiting):
            self._not_before.pop(gone, None)
        return shown if shown in ready else next(iter(ready), None)


def wire(studio: Studio, call: Call | None, seen: gr.HTML, note: gr.HTML) -> None:
    """Inside the current Blocks context. seen: what the page shows; note: where sentences go."""
    if call is None:
        return
    caller = Caller(studio, call)

    def look(view: Any) -> Any:
        try:
            said = caller.look(ViewState.parse(view).run)
        except PruneError as error:  # a store that is busy: the next look may find it free
            said = str(error)
        return gr.skip() if said is None else str(sentence_card(said)) if said else ""

    gr.Timer(_LOOK_EVERY_SECONDS).tick(
        look,
        seen,
        note,
        trigger_mode="once",
        concurrency_limit=_AT_ONCE,
        show_progress="hidden",
        api_visibility="private",
    )


def _in_the_way(error: Exception) -> str:
    said = str(getattr(error, "message", "") or error)[:300]
    return (
        f"The GPU could not be had just now: {said} The state of the run is kept, and this page asks again "
        f"in {words.duration(_WAIT_SECONDS)}."
    )
