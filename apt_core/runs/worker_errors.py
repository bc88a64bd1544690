"""What went wrong in a worker, translated once: any exception -> one `Failed` event."""

from __future__ import annotations

import traceback

from pydantic import ValidationError

from apt_core.base.errors import PruneError, one_sentence
from apt_core.base.out_of_room import is_disk_full, is_out_of_memory
from apt_core.events import Failed

_MAX_DETAIL = 8_000  # characters of a traceback; the last ones say most


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
