"""A model's chat template, rendered within bounds: it is a program that the model's author wrote.

transformers renders it in a sandbox, which keeps it from files and from Python, but not from loops without end or from
texts that fill the memory. Here it has two seconds and some hundred megabytes, and what it makes is bounded as well.
What hears no signal, within one long step of Python, is ended by the kernel a little later, with its process.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psutil

from apt_core.base.errors import BadText
from apt_core.base.words import size

SECONDS = 2.0
ENDED_BY = signal.SIGPROF  # whose default is to end the process, whatever it is doing
_DEAF_SECONDS = 3.0  # of the processor, after which a template hears nothing
_MEMORY = 400_000_000  # bytes beside what the process holds
_LONGEST = 200_000  # characters beside the prompt


class _TooSlow(Exception):
    """The time is over."""


def rendered(tokenizer: Any, prompt: str, seconds: float = SECONDS) -> str:
    """The prompt as the one message of a chat. Raises BadText where the template fails, or wants too much."""
    messages = [{"role": "user", "content": prompt}]
    try:
        with _bounded(seconds):
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except _TooSlow as error:
        raise _unusable(f"does not end within {seconds:g} s") from error
    except MemoryError as error:
        raise _unusable(f"wants more than {size(_MEMORY)} of memory") from error
    except Exception as error:  # whatever a template raises, and jinja about it
        raise _unusable(f"fails: {str(error)[:120]}") from error
    if not isinstance(text, str) or len(text) > len(prompt) + _LONGEST:
        raise _unusable(f"makes more than {_LONGEST:,} characters of it")
    return text


def _unusable(why: str) -> BadText:
    return BadText(
        f"This model's chat template {why}; ask without the chat template to send the prompt as it is."
    )


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Inside, Python code is broken off after `seconds`, and allocations beyond the bound raise MemoryError. Time is
    bounded in the main thread alone, where signals are heard; where they are not, this process is ended."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    held = psutil.Process().memory_info().vms
    hears = threading.current_thread() is threading.main_thread()
    old = (signal.signal(signal.SIGALRM, _ring), signal.signal(ENDED_BY, signal.SIG_DFL)) if hears else None
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_least(held + _MEMORY, before[1]), before[1]))
        if hears:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            signal.setitimer(signal.ITIMER_PROF, seconds + _DEAF_SECONDS)
        yield
    finally:
        if old:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGALRM, old[0])
            signal.signal(ENDED_BY, old[1])
        resource.setrlimit(resource.RLIMIT_AS, before)


def _ring(*_: object) -> None:
    raise _TooSlow


def _least(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
