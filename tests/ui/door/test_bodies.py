"""No request is read beyond its bounds, in bytes or in seconds."""

from __future__ import annotations

import asyncio

import pytest

from apt_core.ui.door.bodies import BoundedBodies
from apt_core.ui.door.limits import DoorLimits
from tests.ui.coroutines import to_its_end

LIMITS = DoorLimits(body_bytes=100, body_seconds=0.2, upload_bytes=300, upload_seconds=0.2, uploads_at_once=1)
UPLOAD = "/gradio_api/upload"


async def echo(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def request(pieces, path="/run", declared=None, method="POST", door=None, pause=0.0):
    """(status, body) of a request whose body comes in these pieces; what hangs for ever is None."""
    headers = [] if declared is None else [(b"content-length", str(declared).encode())]
    waiting = list(pieces)
    taken, sent = [], []

    async def receive():
        if not waiting:
            await asyncio.sleep(60)
        await asyncio.sleep(pause)
        piece = waiting.pop(0)
        taken.append(piece)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(waiting) or pieces[-1] == b"..."}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": headers}
    to_its_end((door or BoundedBodies(echo, LIMITS))(scope, receive, send))
    if not sent:
        return None, b"", taken
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent), taken


def test_a_body_in_pieces_arrives_in_one():
    assert request([b"a" * 60, b"b" * 40])[:2] == (200, b"a" * 60 + b"b" * 40)


def test_a_declared_length_is_refused_before_a_byte_is_read():
    status, said, taken = request([b"a"], declared=101)
    assert status == 413 and b"100" in said and taken == []


@pytest.mark.parametrize("declared", ["1e3", "-1", "9" * 30, "", "０"])
def test_a_length_that_is_no_number_is_refused(declared):
    assert request([b"a"], declared=declared)[0] == 413


def test_a_body_that_says_nothing_of_its_length_is_cut():
    status, _, taken = request([b"a" * 60] * 50)
    assert status == 413 and len(taken) == 2


def test_a_body_that_does_not_go_on_is_given_up():
    assert request([b"a", b"..."])[0] == 408


def test_drops_do_not_keep_it_open():
    assert request([b"a"] * 20, pause=0.05)[0] == 408


def test_who_leaves_gets_no_answer():
    assert request([b"a", None])[0] is None


def test_uploads_may_be_longer():
    assert request([b"a" * 250], path=UPLOAD)[0] == 200
    assert request([b"a" * 301], path=UPLOAD)[0] == 413
    assert request([b"a" * 250], path="/other" + UPLOAD + "er")[0] == 413


def test_only_so_many_uploads_wait_in_memory():
    door = BoundedBodies(echo, LIMITS)

    async def both():
        async def never():
            await asyncio.sleep(60)

        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "path": UPLOAD, "method": "POST", "headers": []}
        first = asyncio.ensure_future(door(scope, never, send))
        await asyncio.sleep(0.01)
        await door(scope, never, send)
        assert [message["status"] for message in sent if "status" in message] == [503]
        await first
        assert [message["status"] for message in sent if "status" in message] == [503, 408]

    to_its_end(both())
