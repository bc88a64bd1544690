"""The command line: the same jobs and the same results as the page.

Standard output carries the result alone (with `--json` one JSON value), standard error the progress and
the one sentence of an error. Exit status: 0 done, 1 the run failed, 2 bad input, 130 interrupted.
Every command imports what it needs when it runs, so `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from apt_core.base.errors import PruneError
from apt_core.base.lazy import lazy
from apt_core.base.policy import HostPolicy
from apt_core.cli.flags import in_flags
from apt_core.cli.output import print_json
from apt_core.cli.parser import build_parser
from apt_core.jobs.parts import RUN_PREFIX

stores = lazy("apt_core.runs.store")
settings, named_runs = lazy("apt_core.cli.options"), lazy("apt_core.studies.named_runs")
worker_errors = lazy("apt_core.runs.worker_errors")

INTERRUPTED = 130
_NAME_RUNS = {"id", "resume", "run", "runs", "source"}  # options that name runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; never raises for what a user can meet."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in arguments
    options: argparse.Namespace | None = None
    try:
        options = build_parser(HostPolicy.from_environment()).parse_args(arguments)
        _with_full_ids(options)
        if getattr(options, "device", None) not in (None, "auto", "cpu"):
            settings.check_device(options.device)  # which loads torch
        status = options.command(options)
        sys.stdout.flush()
        return status
    except PruneError as error:
        return _fail(error.kind, in_flags(error, options), error.exit_status, as_json)
    except KeyboardInterrupt:
        return _fail("interrupted", "Interrupted.", INTERRUPTED, as_json)
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _fail_unexpectedly(error, as_json)


def _with_full_ids(options: argparse.Namespace) -> None:
    """In place of the beginnings of ids and of `latest` the ids, wherever an option names runs."""
    for name in _NAME_RUNS & set(vars(options)):
        value = getattr(options, name)
        if isinstance(value, list):
            setattr(options, name, [_full_id(one) for one in value])
        elif isinstance(value, str):
            setattr(options, name, ",".join(map(_full_id, value.split(","))))
    model = getattr(options, "model", None)
    if isinstance(model, str) and model.startswith(RUN_PREFIX):
        options.model = _full_id(model)


def _full_id(text: str) -> str:
    """A file or folder of that name comes first."""
    prefix = RUN_PREFIX if text.startswith(RUN_PREFIX) else ""
    name = text.removeprefix(prefix).strip()
    if not named_runs.may_be_short(name) or (not prefix and Path(name).exists()):
        return text
    return prefix + named_runs.full_id(stores.Store(), name)


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
