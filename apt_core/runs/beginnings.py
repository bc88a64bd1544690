"""How often a run that is done in calls may begin again where its calls end before it came any further. No torch."""

from __future__ import annotations

from apt_core import events as ev
from apt_core.runs.store import Store

MOST_BEGINNINGS = 3  # without coming any further


def may_begin_again(store: Store, run_id: str) -> bool:
    """Whether a run whose call died is to wait for the next one: not for ever where it gets no further."""
    beginnings, furthest = 0, 0
    for event in (stamped.event for stamped in store.events_since(run_id)):
        if isinstance(event, ev.Started | ev.Restarted | ev.Resumed):
            beginnings += 1
        elif isinstance(event, ev.Paused) or (isinstance(event, ev.Trained) and event.step > furthest):
            beginnings, furthest = 0, max(furthest, getattr(event, "step", 0))
    return beginnings < MOST_BEGINNINGS
