"""`runs` and `label`: list, show, cancel, delete and label what is in the store. Starts nothing."""

from __future__ import annotations

import argparse
import time
from typing import Any

from apt_core.base import words
from apt_core.base.errors import BadInput, RunFailed
from apt_core.base.policy import LOCAL
from apt_core.cli import pack as pack_command
from apt_core.cli.output import print_json, table
from apt_core.cli.report import report
from apt_core.events.records import RunRecord
from apt_core.reports.as_json import labels_json, listed_run_json, run_json
from apt_core.runs import packer
from apt_core.runs.labels import Labels, plain
from apt_core.runs.launcher import Launcher
from apt_core.runs.query import Query, select
from apt_core.runs.store import Store

_HEAD = ("run", "status", "model", "what", "name", "perplexity", "ratio", "started")


def show_list(options: argparse.Namespace) -> int:
    """The runs that are asked for, pinned ones first."""
    if options.limit < 1:
        raise BadInput(f"--limit must be at least 1 (not {options.limit}).")
    query = Query(**{name: getattr(options, name) for name in Query.model_fields}).checked()
    store = _looked_after().store
    found = {entry.run.id: entry.labels for entry in select(store.entries(), query)[: options.limit]}
    records = [(record, found[record.id]) for record in store.records(list(found))]
    if options.json:
        print_json(
            [listed_run_json(record, options.policy) | labels_json(labels) for record, labels in records]
        )
    elif records:
        print(table(*_without_empty_names([_row(record, labels) for record, labels in records])))
    elif query.everything:
        print("There are no runs yet; 'prune' makes the first.")
    else:
        print("No run is like that; 'runs list' shows them all.")
    return 0


def label(options: argparse.Namespace) -> int:
    """Write on a run, or say what is written on it."""
    store = Store()
    asked: dict[str, Any] = {"name": options.name, "note": options.note, "pinned": options.pin}
    changes = {name: value for name, value in asked.items() if value is not None}
    if options.tag or options.untag:
        gone = {plain(tag).lstrip("#").casefold() for tag in options.untag}
        kept = [tag for tag in store.labels_of(options.id).tags if tag.casefold() not in gone]
        changes["tags"] = (*kept, *options.tag)
    labels = store.label(options.id, **changes)
    if options.json:
        print_json({"run": options.id} | labels_json(labels))
    else:
        print(f"Run {options.id}: {_in_words(labels) or 'nothing is written on it'}.")
    return 0


def show(options: argparse.Namespace) -> int:
    store = _looked_after().store
    record = store.get(options.id)
    checkpoint = store.checkpoint(options.id)
    where = str(checkpoint) if checkpoint else None
    labels = store.labels_of(options.id)
    if options.json:
        print_json(run_json(record, options.policy, where) | labels_json(labels))
    else:
        print(report(record, where, _parent_of(record, store)))
        if said := _in_words(labels):
            print(f"\nLabels: {said}.")
    return 0


def _parent_of(record: RunRecord, store: Store) -> RunRecord | None:
    """The run that made the model of this one, None where none did or it cannot be read (any more)."""
    try:
        return store.get(record.made_from) if record.made_from else None
    except BadInput:
        return None


def pack(options: argparse.Namespace) -> int:
    """Pack the weights of all finished runs where they lie; of one run, as `pack` does."""
    if options.source is not None:
        if options.out is None:
            raise BadInput("One run is packed into a new folder; name it with --out.")
        return pack_command.pack(options)
    if options.out is not None:
        raise BadInput("--out goes with one run; name it, or leave --out out.")
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
    """Ask the run to stop and wait until it has, also when no app is running."""
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
    launcher = Launcher(Store(), only=LOCAL)
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
    return record.made.perplexity if record.made else None


def _in_words(labels: Labels) -> str:
    """'name "The best yet"; #paper #to show; note "..."; pinned'"""
    parts = [f"{what} {text!r}" for what, text in (("name", labels.name), ("note", labels.note)) if text]
    parts[1:1] = [" ".join(f"#{tag}" for tag in labels.tags)] if labels.tags else []
    return "; ".join([*parts, *(["pinned"] if labels.pinned else [])])


def _without_empty_names(rows: list[tuple[str, ...]]) -> tuple[list[str], list[list[str]], int]:
    """Head, rows and how many columns stand to the left; the names are a column where there are any."""
    place = _HEAD.index("name")
    named = any(row[place] for row in rows)
    keep = [column for column in range(len(_HEAD)) if named or column != place]
    picked = [[row[column] for column in keep] for row in (_HEAD, *rows)]
    return picked[0], picked[1:], place + named


def _row(record: RunRecord, labels: Labels) -> tuple[str, ...]:
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
        " ".join(
            filter(None, ("*" if labels.pinned else "", labels.name, *(f"#{tag}" for tag in labels.tags)))
        ),
        words.number(_last_perplexity(record)),
        words.times(record.ratio),
        started,
    )
