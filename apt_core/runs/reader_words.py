"""What is said of a question that gets no answer: why, and what to do."""

from __future__ import annotations

import signal

from apt_core.events import Failed
from apt_core.runs import processes

STOPPED_WAITING = Failed(reason="stopped", message="Stopped before its turn came.")
STOPPED = Failed(
    reason="stopped",
    message="Stopped. The models did not respond in time, so their process was ended; the next question "
    "loads them again.",
)
BUSY = Failed(
    reason="busy", message="Somebody else's question is still being answered; try again in a moment."
)
_DEAF_TEMPLATE = Failed(
    reason="bad_text",
    message="This model's chat template does not end, so the process that holds the models was ended; ask without the "
    "chat template to send the prompt as it is.",
)


def lost(how: str) -> Failed:
    return Failed(
        reason="worker_died",
        message=f"The process that holds the models ended without a message{how}; ask again to start it again.",
    )


def ended_with(status: int | None) -> Failed:
    """Of a process that ended by itself. SIGPROF is what ends a chat template that hears nothing
    (`measure/chat_template.py`)."""
    if status is not None and hasattr(signal, "SIGPROF") and status == -signal.SIGPROF:
        return _DEAF_TEMPLATE
    return lost(processes.how_it_ended(status))
