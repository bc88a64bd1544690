"""Whether an error of any library says that memory or disk were not enough. Some are recognised by their message."""

from __future__ import annotations

import errno

from apt_core.base.errors import DISK_FULL_ERRNOS

_NO_ROOM_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "file too large",
    "os error 28",
    "os error 122",
    " requested and ",  # numpy's tofile: "66048 requested and 57696 written", without a number
)
_NO_MEMORY_WORDS = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """MemoryError, torch's OutOfMemoryError of any device, and the CPU allocator's RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY_WORDS)


def is_disk_full(error: BaseException) -> bool:
    """An OSError without room, or the message of a library that does its own writing (safetensors)."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in DISK_FULL_ERRNOS
    return any(words in str(error).lower() for words in _NO_ROOM_WORDS)
