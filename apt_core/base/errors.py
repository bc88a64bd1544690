"""Every error a user can meet, as one sentence that says what to do next.

    PruneError
    ├── BadInput            the request itself cannot work (exit status 2, nothing was started)
    │   ├── BadPattern      sparsity 1.0, 4:2, a group that does not divide the width
    │   ├── BadOption       an option of a method outside its range
    │   ├── BadText         no text, too short, binary, not UTF-8
    │   ├── UnknownModel    no such catalogue entry, folder or repository
    │   ├── GatedModel      the repository asks for an account or accepted terms
    │   ├── TermsNotAccepted  the conditions of use of a model of the list are open
    │   ├── NotAModel       a file or folder that holds no safetensors causal language model
    │   ├── UnknownRun      no such run in the store
    │   ├── NotYours        a run of another visitor, or a visitor who may not ask here
    │   ├── OverQuota       more than this host gives one visitor, or all of them
    │   └── CannotWrite     a file or folder that is asked for is there already, or has no place
    ├── NotReachable        the Hub or the package index does not answer
    ├── BadDownload         what arrived is not what was pinned (sha256)
    ├── StoreUnusable       the run index is held by another program or cannot be written
    └── RunFailed           the run started and could not go on (exit status 1)
        ├── NotPositiveDefinite   a Hessian that cannot be factorised, even with more dampening
        ├── NotNumbers      a model whose predictions are not finite, such as one that lost too many weights
        ├── OutOfMemory
        ├── DiskFull
        ├── Silent          no sign of life for long, so it was ended
        ├── TooLong         more time, of the clock or of the processor, than this host gives
        └── WorkerDied      the worker process ended without a message

Third-party errors are translated into these once, at the edge where they appear
(`models.sources`, `runs.worker`), never inside the maths.
"""

from __future__ import annotations

import errno
from typing import ClassVar

from pydantic import ValidationError

__all__ = [
    "BadDownload",
    "BadInput",
    "BadOption",
    "BadPattern",
    "BadText",
    "CannotWrite",
    "DiskFull",
    "GatedModel",
    "NotAModel",
    "NotNumbers",
    "NotPositiveDefinite",
    "NotReachable",
    "NotYours",
    "OutOfMemory",
    "OverQuota",
    "PruneError",
    "RunFailed",
    "Silent",
    "StoreUnusable",
    "TermsNotAccepted",
    "TooLong",
    "UnknownModel",
    "UnknownRun",
    "WorkerDied",
]
# What the system answers when a disk, a quota or a limit on file size has no room for what is written.
DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class PruneError(Exception):
    """Base of all. `str(error)` is one plain sentence; `kind` is stable and machine readable.

    field: the path of the job's field that it speaks of ('calibration.samples'), empty where it is of none alone.
    """

    kind: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    field: str = ""


class BadInput(PruneError):
    kind = "bad_input"
    exit_status = 2


class BadPattern(BadInput):
    kind = "bad_pattern"


class BadOption(BadInput):
    kind = "bad_option"


class BadText(BadInput):
    kind = "bad_text"


class UnknownModel(BadInput):
    kind = "unknown_model"


class GatedModel(BadInput):
    kind = "gated_model"


class TermsNotAccepted(BadInput):
    kind = "terms_not_accepted"


class NotAModel(BadInput):
    kind = "not_a_model"


class UnknownRun(BadInput):
    kind = "unknown_run"


class NotYours(BadInput):
    kind = "not_yours"


class OverQuota(BadInput):
    kind = "over_quota"


class CannotWrite(BadInput):
    kind = "cannot_write"


class NotReachable(PruneError):
    kind = "not_reachable"


class BadDownload(PruneError):
    kind = "bad_download"


class StoreUnusable(PruneError):
    kind = "store_unusable"


class RunFailed(PruneError):
    kind = "run_failed"


class NotPositiveDefinite(RunFailed):
    """A Gram matrix whose dampened form has no Cholesky factor."""

    kind = "not_positive_definite"

    def __init__(self, dampening: float | None = None):
        at = "" if dampening is None else f" at dampening {dampening:g}"
        super().__init__(
            f"The calibration statistics of a layer cannot be factorised{at}; "
            "use more calibration samples or a larger dampening."
        )


class NotNumbers(RunFailed):
    kind = "not_numbers"


class OutOfMemory(RunFailed):
    kind = "out_of_memory"


class DiskFull(RunFailed):
    kind = "disk_full"


class Silent(RunFailed):
    kind = "silent"


class TooLong(RunFailed):
    kind = "too_long"


class WorkerDied(RunFailed):
    kind = "worker_died"


def exit_status_of(kind: str) -> int:
    """The exit status for an error of this kind: 2 for bad input, 1 for everything else."""
    return next((known.exit_status for known in _all_below(PruneError) if known.kind == kind), 1)


def error_of_kind(kind: str, message: str) -> PruneError:
    """The error that a run's failure tells of; RunFailed where no class has this kind."""
    of_kind = (known for known in _all_below(PruneError) if known.kind == kind and known is not PruneError)
    found = next(of_kind, RunFailed)
    error = found.__new__(found)  # some make their sentence themselves
    Exception.__init__(error, message)
    return error


def _all_below(error: type[PruneError]) -> list[type[PruneError]]:
    return [error, *(below for child in error.__subclasses__() for below in _all_below(child))]


def field_of(error: ValidationError) -> str:
    """The path of the field of the first complaint, without the places of tuples and the names of validators."""
    names = [part for part in error.errors()[0]["loc"] if isinstance(part, str)]
    return ".".join(name for name in names if not name.startswith("function-"))


def one_sentence(error: ValidationError) -> str:
    """The first complaint of a pydantic error, with the field's name, as one sentence.

    A validator that raised one of our own errors is quoted as it is.
    """
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    message = str(cause) if cause is not None else first["msg"]
    field = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    if isinstance(cause, ValueError) or not field:
        return message
    if first["type"] == "too_long":
        return (
            f"{field} takes at most {first['ctx']['max_length']} values, not {first['ctx']['actual_length']}."
        )
    given = "" if first["type"] == "missing" else f" (given: {first['input']!r})"
    return f"{field}: {message[:1].lower()}{message[1:]}{given}"[:300]
