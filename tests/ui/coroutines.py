"""Coroutines in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def to_its_end(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns or raises, run in a thread of its own.

    Browser tests of the same process leave a loop running in the main thread, where `asyncio.run` is refused.
    """
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, work).result()
