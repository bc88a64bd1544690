"""What a job takes while it works: memory and processor time of its process, as events between its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator

import psutil

from apt_core.events import Event, Finished, Used

_FIRST_SECONDS = 0.5
_AT_ONE_INTERVAL = 40  # samples, then the interval doubles: some 500 for a run of a day


def traced(
    events: Generator[Event, None, None], clock: Callable[[], float] = time.monotonic
) -> Generator[Event, None, None]:
    """The events, and after one of them a `Used` whenever another is due; nothing follows `Finished`."""
    begun = clock()
    process = psutil.Process()
    interval, due, taken = _FIRST_SECONDS, begun, 0
    try:
        for event in events:
            last = isinstance(event, Finished)
            if clock() >= due or last:
                yield _used(process, clock() - begun)
                taken += 1
                interval *= 2 if taken % _AT_ONE_INTERVAL == 0 else 1
                due = clock() + interval
            yield event
    finally:
        events.close()


def _used(process: psutil.Process, seconds: float) -> Used:
    times = process.cpu_times()
    return Used(
        rss_bytes=process.memory_info().rss,
        cpu_seconds=times.user + times.system,
        gpu_bytes=_gpu_bytes(),
        seconds=seconds,
    )


def _gpu_bytes() -> int:
    """Without importing torch, and without starting CUDA in a process that does not use it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return sum(torch.cuda.memory_reserved(number) for number in range(torch.cuda.device_count()))
