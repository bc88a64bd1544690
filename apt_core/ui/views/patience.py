"""An iterator that may be silent for long, listened to without being held by it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol[T]):
    """A generator, or what can be read and closed like one."""

    def __iter__(self) -> Iterator[T]: ...

    def close(self) -> None: ...


def with_heartbeat(source: Closable[T], seconds: float) -> Iterator[T | None]:
    """The items of `source`, and None whenever it has been silent for `seconds`.

    Closing this closes the source at its next item; an exception of the source comes through.
    """
    items: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue()
    left = threading.Event()

    def listen() -> None:
        try:
            for item in source:
                if left.is_set():
                    break
                items.put(("item", item))
            items.put(("end", None))
        except BaseException as error:  # handed to the listener's thread, whatever it is
            items.put(("error", error))
        finally:
            source.close()

    threading.Thread(target=listen, name="heartbeat", daemon=True).start()
    try:
        while True:
            try:
                kind, item = items.get(timeout=seconds)
            except queue.Empty:
                yield None
                continue
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item
    finally:
        left.set()
