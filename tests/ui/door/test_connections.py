"""A real server on a real port: half-sent requests end, and connections are counted."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from apt_core.ui.door.connections import server_config
from apt_core.ui.door.limits import DoorLimits

LIMITS = DoorLimits(header_seconds=0.5, connections=5, header_bytes=4_000)
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def running(limits):
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(app, limits, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def port():
    with running(LIMITS) as port:
        yield port


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def answer(connection) -> bytes:
    """What comes until the body of `app` is here."""
    got = b""
    while not got.endswith(b"ok") and (more := connection.recv(4096)):
        got += more
    return got


def closed_after(connection) -> float:
    """Seconds until the server closes it."""
    begun = time.monotonic()
    while connection.recv(4096):
        pass
    return time.monotonic() - begun


@pytest.mark.parametrize("sent", [b"", b"GET", WHOLE[:-2]])
def test_a_request_that_does_not_go_on_is_closed(port, sent):
    with connect(port) as connection:
        connection.sendall(sent)
        assert 0.3 < closed_after(connection) < 5


def test_headers_that_drip_are_closed_too(port):
    begun = time.monotonic()
    with connect(port) as connection, pytest.raises(OSError):
        for letter in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100:
            connection.sendall(bytes([letter]))
            time.sleep(0.05)
    assert time.monotonic() - begun < 5


def test_the_second_request_of_a_connection_has_its_deadline_too(port):
    with connect(port) as connection:
        connection.sendall(WHOLE)
        assert b"ok" in answer(connection)
        connection.sendall(WHOLE[:5])
        assert 0.3 < closed_after(connection) < 5


def test_a_whole_request_is_answered_however_many_came_before(port):
    with connect(port) as connection:
        for _ in range(3):
            connection.sendall(WHOLE)
            assert b"ok" in answer(connection)


def test_more_connections_than_may_be_are_closed_at_once(port):
    held = [connect(port) for _ in range(LIMITS.connections)]
    time.sleep(0.1)
    with connect(port) as one_more:
        one_more.sendall(WHOLE)
        with pytest.raises(OSError):
            if not one_more.recv(10):
                raise ConnectionResetError
    for connection in held:
        connection.close()
    time.sleep(0.2)
    with connect(port) as later:
        later.sendall(WHOLE)
        assert b"ok" in answer(later)


@pytest.fixture
def shared_port():
    """Of a server at which each address has two connections."""
    with running(LIMITS.model_copy(update={"connections_each": 2, "header_seconds": 30.0})) as port:
        yield port


def connect_from(address, port):
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0))


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine on Linux alone")
def test_one_address_does_not_take_the_connections_of_all(shared_port):
    held = [connect_from("127.0.0.2", shared_port) for _ in range(2)]
    with connect_from("127.0.0.2", shared_port) as third:
        third.settimeout(5)
        with pytest.raises(OSError):
            third.sendall(WHOLE)
            if not third.recv(10):
                raise ConnectionResetError
    with connect_from("127.0.0.3", shared_port) as another:
        another.sendall(WHOLE)
        assert b"ok" in answer(another)
    held.pop().close()
    end = time.monotonic() + 10
    while not served_once(shared_port, "127.0.0.2"):
        assert time.monotonic() < end, "a place that was given back is free"
    held.pop().close()


def served_once(port, address) -> bool:
    try:
        with connect_from(address, port) as connection:
            connection.sendall(WHOLE)
            return b"ok" in answer(connection)
    except OSError:
        return False


def test_a_connection_does_not_become_one_that_counts_no_more(port):
    """A websocket left the count, and its deadlines, behind it."""
    asked = WHOLE[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    with connect(port) as connection:
        connection.sendall(asked + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200")


def test_endless_headers_are_refused(port):
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 5_000)
        assert b"400" in connection.recv(4096)
