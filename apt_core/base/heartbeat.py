"""The one bridge between threads and generators: work runs in a thread, and its reader is never blocked by it."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Result = TypeVar("Result")


class Abandoned(Exception):
    """Raised inside the work, at its next item, once the reader has gone."""


class Closable(Protocol[T_co]):
    """A generator, or what can be read and closed like one."""

    def __iter__(self) -> Iterator[T_co]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _Result(Generic[Result]):
    value: Result


@dataclass(frozen=True)
class _Failure:
    error: BaseException


def items_of(
    work: Callable[[Callable[[T], None]], Result], seconds: float
) -> Generator[T | None, None, Result]:
    """Run `work(put)` in a thread: yields what it puts, and None whenever it has been silent for `seconds`.

    Returns what the work returns; its exception comes through. Closing this raises Abandoned in the work's next put.
    """
    items: queue.Queue[_Item[T] | _Result[Result] | _Failure] = queue.Queue()
    abandoned = threading.Event()

    def put(item: T) -> None:
        if abandoned.is_set():
            raise Abandoned
        items.put(_Item(item))

    def run() -> None:
        try:
            items.put(_Result(work(put)))
        except BaseException as error:  # handed to the listener's thread, whatever it is
            items.put(_Failure(error))

    context = contextvars.copy_context()  # the work is done in the name of whoever listens
    threading.Thread(target=context.run, args=(run,), name="heartbeat", daemon=True).start()
    try:
        while True:
            try:
                said = items.get(timeout=seconds)
            except queue.Empty:
                yield None
                continue
            if isinstance(said, _Result):
                return said.value
            if isinstance(said, _Failure):
                raise said.error
            yield said.value
    finally:
        abandoned.set()


def with_heartbeat(source: Closable[T], seconds: float) -> Generator[T | None, None, None]:
    """The items of `source`, and None whenever it has been silent for `seconds`.

    Closing this closes the source at its next item; an exception of the source comes through.
    """

    def read(put: Callable[[T], None]) -> None:
        try:
            for item in source:
                put(item)
        finally:
            source.close()

    return items_of(read, seconds)
