"""What went wrong in a worker, translated once: any exception -> one `Failed` event."""

from __future__ import annotations

import errno
import traceback

from pydantic import ValidationError

from apt_core.base.errors import DISK_FULL_ERRNOS, PruneError, one_sentence
from apt_core.events import Failed

_MAX_DETAIL = 8_000  # characters of a traceback; the last ones say most
_NO_ROOM_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "file too large",
    "os error 28",
    "os error 122",
    " requested and ",  # numpy's tofile: "66048 requested and 57696 written", without a number
)
_NO_MEMORY_WORDS = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")


def failure_of(error: BaseException) -> Failed:
    """What to do next in one sentence, the reason as a stable word, the traceback for the folded part."""
    reason, message = _reason_and_message(error)
    detail = "".join(traceback.format_exception(error))[-_MAX_DETAIL:]
    return Failed(reason=reason, message=message, detail=detail)


def _reason_and_message(error: BaseException) -> tuple[str, str]:
    if isinstance(error, PruneError):
        return error.kind, str(error)
    if is_out_of_memory(error):
        return "out_of_memory", (
            "The memory of this machine was not enough; "
            "use fewer or shorter calibration samples, or a smaller model."
        )
    if is_disk_full(error):
        return "disk_full", (
            "The disk is full, so the result could not be written; "
            "free some space or delete old runs, then try again."
        )
    if isinstance(error, ValidationError):
        return "bad_input", one_sentence(error)
    name = type(error).__name__
    said = " ".join(str(error).split())[:200]
    what = f"{name}: {said}" if said else name
    return "unexpected", f"Something unexpected happened ({what}); the details say where."


def is_out_of_memory(error: BaseException) -> bool:
    """MemoryError, torch's OutOfMemoryError of any device, and the CPU allocator's RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY_WORDS)


def is_disk_full(error: BaseException) -> bool:
    """An OSError without room, or the same said in words by a library that writes by itself (safetensors)."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in DISK_FULL_ERRNOS
    return any(words in str(error).lower() for words in _NO_ROOM_WORDS)
