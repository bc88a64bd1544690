"""`report`: what runs came to, for somebody else. Starts nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from apt_core.base import words
from apt_core.base.errors import BadInput, PruneError, UnknownRun
from apt_core.cli.output import print_json
from apt_core.events.records import RunRecord
from apt_core.reports.document import document_of
from apt_core.reports.html import to_html
from apt_core.reports.markdown import to_markdown
from apt_core.reports.run_words import run_title
from apt_core.reports.writing import check_file, new_file
from apt_core.runs.store import Store


def report(options: argparse.Namespace) -> int:
    """Files are named without their folders: a report goes to others."""
    file = Path(options.html or options.markdown).expanduser().absolute()
    check_file(file, options.force)
    store = Store()
    document = document_of(named_runs(store, options.runs), lambda record: title_in(store, record))
    text = to_html(document) if options.html else to_markdown(document)
    with new_file(file, options.force) as place:
        place.write_text(text, encoding="utf-8")
    n_bytes = len(text.encode())
    if options.json:
        runs = [section.run_id for section in document.sections]
        print_json({"report": str(file), "runs": runs, "bytes": n_bytes})
    else:
        print(f"{file}: {document.title} ({words.size(n_bytes)}).")
    return 0


def named_runs(store: Store, text: str) -> list[RunRecord]:
    """The runs of a list with commas, or of a study. Raises BadInput for what is neither."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise BadInput("Name a run, a study, or several runs with commas; 'runs' lists them.")
    return [record for name in names for record in _named(store, name)]


def _named(store: Store, name: str) -> list[RunRecord]:
    try:
        return [store.get(name)]
    except UnknownRun:
        try:
            store.study(name)
        except UnknownRun:
            raise UnknownRun(f"There is no run and no study {name[:60]!r}; 'runs' lists the runs.") from None
        return store.runs_of(name)


def title_in(store: Store, record: RunRecord) -> str:
    """'SmolLM2 135M'; of a model that a run of this store made its title and what was done to it."""

    def known(run_id: str) -> RunRecord | None:
        try:
            return store.get(run_id)
        except PruneError:
            return None

    return run_title(record, known)
