"""Answers that nobody fetches hold a bounded amount of memory, and cost nobody else theirs."""

from __future__ import annotations

import asyncio

import gradio as gr
import pytest
from gradio.server_messages import ProcessCompletedMessage, UnexpectedErrorMessage

from apt_core.ui.unread import Messages, Unread, bound
from tests.ui.coroutines import to_its_end


def said(characters: int) -> ProcessCompletedMessage:
    return ProcessCompletedMessage(output={"data": ["x" * characters]}, success=True)


@pytest.fixture
def forgotten():
    return []


def unread(forgotten, **bounds):
    found = Unread(forgotten.append, **bounds)
    for session in "abc":
        found[session] = asyncio.Queue()
    return found


def test_what_is_said_is_fetched_in_its_order(forgotten):
    async def scene():
        messages = unread(forgotten)["a"]
        for size in (1, 2):
            messages.put_nowait(said(size))
        return [len((await messages.get()).output["data"][0]) for _ in range(2)]

    assert to_its_end(scene()) == [1, 2]


def test_what_was_fetched_counts_no_more(forgotten):
    found = unread(forgotten)
    found["a"].put_nowait(said(50_000))
    assert found.n_bytes == found["a"].n_bytes > 50_000
    found["a"].get_nowait()
    assert found.n_bytes == found["a"].n_bytes == 0


def test_nobody_fills_the_memory_with_answers_that_they_do_not_fetch(forgotten):
    found = unread(forgotten, most_bytes=1_000_000)
    for _ in range(1_000):
        found["b"].put_nowait(said(100_000))
        assert found.n_bytes <= 1_000_000 + 110_000
    assert found.n_bytes == sum(messages.n_bytes for messages in found.values())


def test_who_fetches_too_late_is_told_so(forgotten):
    found = unread(forgotten, most_bytes=1_000_000)
    found["a"].put_nowait(said(900_000))
    found["b"].put_nowait(said(900_000))
    late = found["a"].get_nowait()
    assert isinstance(late, UnexpectedErrorMessage) and "reload" in late.message


def test_who_listens_loses_nothing_to_those_who_do_not(forgotten):
    async def scene():
        found = unread(forgotten, most_sessions=3, most_bytes=1_000_000)
        heard = asyncio.create_task(found["a"].get())
        await asyncio.sleep(0)
        assert found["a"].heard and not found["b"].heard
        for number in range(50):
            found[f"flood {number}"] = asyncio.Queue()
            found[f"flood {number}"].put_nowait(said(300_000))
        found["a"].put_nowait(said(7))
        assert len(found) == 3 and len((await heard).output["data"][0]) == 7
        return found

    found = to_its_end(scene())
    assert forgotten[:3] == ["b", "c", "flood 0"] and "a" in found
    assert found.n_bytes == sum(messages.n_bytes for messages in found.values())


def test_who_stops_listening_is_as_the_others(forgotten):
    async def scene():
        messages = unread(forgotten)["a"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(messages.get(), 0.01)
        return messages.heard

    assert to_its_end(scene()) is False


def test_where_all_are_heard_the_oldest_goes(forgotten):
    async def scene():
        found = unread(forgotten, most_sessions=3)
        tasks = [asyncio.create_task(messages.get()) for messages in found.values()]
        await asyncio.sleep(0)
        found["d"] = asyncio.Queue()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return list(found)

    assert to_its_end(scene()) == ["b", "c", "d"] and forgotten == ["a"]


def test_the_queue_of_a_page_keeps_its_messages_so():
    with gr.Blocks() as page:
        pass
    page.queue()
    bound(page)
    queue = page._queue
    queue.pending_messages_per_session["tab"] = asyncio.Queue()
    queue.pending_event_ids_session["tab"] = {"event"}
    assert isinstance(queue.pending_messages_per_session["tab"], Messages)
    del queue.pending_messages_per_session["tab"]
    assert "tab" not in queue.pending_event_ids_session
