"""`runs`: list, show, cancel and delete what is in the store. Starts nothing."""

from __future__ import annotations

import argparse
import time

from apt_core.base import words
from apt_core.base.errors import BadInput, RunFailed
from apt_core.cli.output import print_json, table
from apt_core.cli.report import report
from apt_core.events.records import RunRecord
from apt_core.reports.as_json import listed_run_json, run_json
from apt_core.runs import packer
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store

_MOST_LISTED = 1_000_000  # more than any index holds, and a number that it can be asked for


def show_list(options: argparse.Namespace) -> int:
    records = _looked_after().store.list(min(max(0, options.limit), _MOST_LISTED))
    if options.json:
        print_json([listed_run_json(record, options.policy) for record in records])
    elif records:
        print(
            table(
                ("run", "status", "model", "what", "perplexity", "ratio", "started"),
                list(map(_row, records)),
                4,
            )
        )
    else:
        print("There are no runs yet; 'prune' makes the first.")
    return 0


def show(options: argparse.Namespace) -> int:
    store = _looked_after().store
    record = store.get(options.id)
    checkpoint = store.checkpoint(options.id)
    where = str(checkpoint) if checkpoint else None
    if options.json:
        print_json(run_json(record, options.policy, where))
    else:
        print(report(record, where, _parent_of(record, store)))
    return 0


def _parent_of(record: RunRecord, store: Store) -> RunRecord | None:
    """The run that made the model of this one, None where none did or it cannot be read (any more)."""
    try:
        return store.get(record.made_from) if record.made_from else None
    except BadInput:
        return None


def pack(options: argparse.Namespace) -> int:
    """Pack the weights of all finished runs where they lie."""
    done = list(packer.pack_runs(_looked_after().store, rest_seconds=0.0))
    if options.json:
        print_json({"packed": [one._asdict() for one in done]})
    elif done:
        before, after = sum(one.before for one in done), sum(one.after for one in done)
        print(f"{words.size(before)} became {words.size(after)}: {', '.join(one.run for one in done)}")
    else:
        print("Nothing was packed: no finished run has plain weights, or a run waits or works just now.")
    return 0


def cancel(options: argparse.Namespace) -> int:
    """Ask the run to stop, and see to it that it does, also when no app is running."""
    launcher = _looked_after()
    launcher.store.request_cancel(options.id)
    deadline = time.monotonic() + 2 * launcher.grace + 5
    while (record := launcher.store.get(options.id)).live:
        if time.monotonic() > deadline:
            raise RunFailed(f"Run {options.id} does not stop; try again.")
        time.sleep(0.2)
        launcher.tick(start_next=False)
    return _answer(options, record.status, f"Run {options.id} is {record.status}.")


def delete(options: argparse.Namespace) -> int:
    _looked_after().store.delete(options.id, orphan=options.force)
    return _answer(options, "deleted", f"Run {options.id} is deleted.")


def _looked_after() -> Launcher:
    """A launcher whose store is up to date: runs whose worker died while no app was running are marked as failed."""
    launcher = Launcher(Store())
    launcher.tick(start_next=False)
    return launcher


def _answer(options: argparse.Namespace, status: str, sentence: str) -> int:
    if options.json:
        print_json({"run": options.id, "status": status})
    else:
        print(sentence)
    return 0


def _last_perplexity(record: RunRecord) -> float | None:
    """Of what the run made; of what it measured when it made nothing. On the first text."""
    found = record.pruned or next(iter(record.evaluated_on("model")), None)
    return found.perplexity if found else None


def _row(record: RunRecord) -> tuple[str, ...]:
    started = (
        time.strftime("%Y-%m-%d %H:%M", time.localtime(record.created_at))
        if record.created_at
        else words.DASH
    )
    return (
        record.id,
        record.status,
        record.job.model.id,
        record.job.label,
        words.number(_last_perplexity(record)),
        words.times(record.ratio),
        started,
    )
