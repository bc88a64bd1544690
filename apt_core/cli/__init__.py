"""The command line: the same jobs and the same results as the page.

Standard output carries the result alone (with `--json` one JSON value), standard error the progress and
the one sentence of an error. Exit status: 0 done, 1 the run failed, 2 bad input, 130 interrupted.
Every command imports what it needs when it runs, so `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from apt_core.base.errors import PruneError
from apt_core.base.lazy import lazy
from apt_core.base.policy import HostPolicy
from apt_core.cli.output import print_json
from apt_core.cli.parser import build_parser

worker_errors = lazy("apt_core.runs.worker_errors")

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; never raises for what a user can meet."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in arguments
    try:
        options = build_parser(HostPolicy.from_environment()).parse_args(arguments)
        status = options.command(options)
        sys.stdout.flush()
        return status
    except PruneError as error:
        return _fail(error.kind, str(error), error.exit_status, as_json)
    except KeyboardInterrupt:
        return _fail("interrupted", "Interrupted.", INTERRUPTED, as_json)
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _fail_unexpectedly(error, as_json)


def _fail_unexpectedly(error: Exception, as_json: bool) -> int:
    """Out of memory, a full disk, or a fault of ours: still one sentence."""
    failed = worker_errors.failure_of(error)
    if os.environ.get("APT_DEBUG"):
        print(failed.detail, file=sys.stderr)
    message = failed.message.replace("the details say where", "set APT_DEBUG=1 to see where")
    return _fail(failed.reason, message, 1, as_json)


def _fail(kind: str, message: str, status: int, as_json: bool) -> int:
    print(message, file=sys.stderr)
    if as_json:
        print_json({"error": {"kind": kind, "message": message}})
    return status
