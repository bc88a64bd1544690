"""How many events of each visitor wait in Gradio's queue."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from apt_core.runs.owners import Visitor
from apt_core.ui.acting import KEY


def counter_of(page: gr.Blocks) -> Callable[[Visitor], int]:
    """A function that says how many events of a visitor wait; of a stranger those of all strangers from there."""

    def waiting(visitor: Visitor) -> int:
        queues = list(page._queue.event_queue_per_concurrency_id.values())
        events = [event for one in queues for event in list(one.queue)]
        return sum(event.request.scope.get("state", {}).get(KEY) == visitor for event in events)

    return waiting
