"""Connections that say nothing, or too much, are closed by the server itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from apt_core.ui.door.limits import DoorLimits
from apt_core.ui.door.visitors import network_of


def server_config(app: Any, limits: DoorLimits, **settings: Any) -> uvicorn.Config:
    """uvicorn's configuration with our bounds. settings: host, port and others of uvicorn's own."""
    return uvicorn.Config(
        app,
        http=_bounded(limits),
        h11_max_incomplete_event_size=limits.header_bytes,
        timeout_graceful_shutdown=1,  # event streams never end by themselves
        log_level="warning",
        log_config=None,  # as the process has set it up
        access_log=False,
        ws="none",  # the page has none, and a connection that became one would count no more
        server_header=False,
        **settings,
    )


def _bounded(limits: DoorLimits) -> type[H11Protocol]:
    class Bounded(_BoundedProtocol):
        door = limits
        from_there: ClassVar[Counter[str]] = Counter()

    return Bounded


class _BoundedProtocol(H11Protocol):
    """uvicorn's protocol, with a deadline for the headers of every request and a cap on open connections.

    uvicorn ends a connection that idles after an answer, but none on which a request has begun and does not go on.
    """

    door: DoorLimits
    from_there: ClassVar[Counter[str]]  # open connections by address
    _address: str | None = None  # that this connection counts for
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.door.connections or not self._may_come():
            transport.abort()
            return
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        self._gone()
        super().connection_lost(exc)

    def _may_come(self) -> bool:
        """Whether this address may have one more connection; it is counted."""
        address, most = network_of(self.client), self.door.connections_each
        if most is not None and self.from_there[address] >= most:
            return False
        self.from_there[address] += 1
        self._address = address
        return True

    def _gone(self) -> None:
        if self._address is not None:
            self.from_there[self._address] -= 1
            if not self.from_there[self._address]:
                del self.from_there[self._address]
            self._address = None

    def _wait_for_headers(self) -> None:
        """The deadline runs exactly while no request is under way."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_deadline()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.door.header_seconds, self._too_slow)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
