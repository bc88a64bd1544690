"""What is streamed to a tab: about the run that it shows, dropped and its asking ended once it shows another one; or
about no run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from typing import Any

from apt_core.ui import acting

Updates = dict[Any, Any]
_MOST_TABS = 2_000  # whose run is remembered; more than the page keeps open


class _Stream:
    """One answer on its way to a tab. of_a_run: whether it is about the run that the tab shows. stop: Stop was
    pressed, or nobody sees the answer any more; left: the latter."""

    def __init__(self, tab: str, place: str, of_a_run: bool = True):
        self.tab, self.place, self.of_a_run = tab, place, of_a_run
        self.stop, self.left = threading.Event(), threading.Event()


class Streams:
    """Of all tabs; a tab is a page load. Safe in threads. Outside of a request there is no tab, and nothing ends."""

    def __init__(self) -> None:
        self._streams: set[_Stream] = set()
        self._shown: OrderedDict[str, str] = OrderedDict()  # tab -> run
        self._lock = threading.Lock()

    def while_shown(
        self, run: str, place: str, updates: Callable[[threading.Event], Iterator[Updates]]
    ) -> Generator[Updates]:
        """The updates about a run, until the tab shows another one or the same anew; the last one then changes nothing,
        because Gradio sends the last one twice.

        updates: they get the event that asks them to stop. place: what `stop` calls this stream.
        """
        if (stream := self._begin(run, place)) is None:
            yield {}
            return
        source = updates(stream.stop)
        try:
            for update in source:
                if stream.left.is_set():
                    break
                yield update
            if stream.left.is_set():
                yield {}
        finally:
            with self._lock:
                self._streams.discard(stream)
            if isinstance(source, Generator):
                source.close()

    def until_stopped(
        self, place: str, updates: Callable[[threading.Event], Iterator[Updates]]
    ) -> Generator[Updates]:
        """The updates about what is of no run, whatever run the tab shows meanwhile."""
        stream = _Stream(acting.tab_now(), place, of_a_run=False)
        with self._lock:
            self._streams.add(stream)
        try:
            yield from updates(stream.stop)
        finally:
            with self._lock:
                self._streams.discard(stream)

    def stop(self, place: str) -> None:
        """Stop was pressed: the stream ends with its own last word."""
        tab = acting.tab_now()
        with self._lock:
            for stream in self._streams:
                if (stream.tab, stream.place) == (tab, place):
                    stream.stop.set()

    def shows(self, run: str) -> None:
        """The tab is filled with this run now."""
        if not (tab := acting.tab_now()):
            return
        with self._lock:
            self._shown[tab] = run
            self._shown.move_to_end(tab)
            if len(self._shown) > _MOST_TABS:
                self._shown.popitem(last=False)
            for stream in self._streams:
                if stream.tab == tab and stream.of_a_run:
                    stream.left.set()
                    stream.stop.set()

    def shown(self) -> str:
        """The run that the tab was filled with last; empty for none."""
        with self._lock:
            return self._shown.get(acting.tab_now(), "")

    def _begin(self, run: str, place: str) -> _Stream | None:
        """None where the tab has opened another run while the question waited in line."""
        stream = _Stream(acting.tab_now(), place)
        with self._lock:
            if self._shown.get(stream.tab, run) != run:
                return None
            self._streams.add(stream)
        return stream
