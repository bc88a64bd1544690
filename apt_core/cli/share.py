"""`report` and `export`: the results and models of runs, as files to hand on. Starts nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from apt_core.base import words
from apt_core.base.lazy import lazy
from apt_core.cli.output import print_json
from apt_core.reports import export as exporting
from apt_core.reports.as_json import report_json
from apt_core.reports.document import document_of
from apt_core.reports.html import to_html
from apt_core.reports.markdown import to_markdown
from apt_core.reports.run_words import run_title
from apt_core.reports.writing import check_file, new_file
from apt_core.runs.asked import asked
from apt_core.runs.store import Store
from apt_core.studies.named_runs import named_runs

pushing = lazy("apt_core.reports.push")


def report(options: argparse.Namespace) -> int:
    """Files are named without their folders: a report goes to others."""
    file = _place(options.html or options.markdown)
    check_file(file, options.force)
    store = Store()
    known = exporting.reader_of(store)
    records = [
        record.model_copy(update={"asked": asked(store.folder(record.id))})
        for record in named_runs(store, options.runs)
    ]
    document = document_of(records, lambda record: run_title(record, known))
    text = to_html(document) if options.html else to_markdown(document)
    with new_file(file, options.force) as place:
        place.write_text(text, encoding="utf-8")
    if options.json:
        print_json(report_json(str(file), document, text))
    else:
        print(f"{file}: {document.title} ({words.size(len(text.encode()))}).")
    return 0


def export(options: argparse.Namespace) -> int:
    """One of a folder, a GGUF file, a repository of the Hub."""
    store = Store()
    model = exporting.exported(store, options.run)
    if options.folder:
        where = str(exporting.write_folder(model, _place(options.folder), options.force))
    elif options.gguf:
        where = str(exporting.write_gguf(model, _place(options.gguf), options.precision, options.force))
    else:
        where = pushing.push(model, options.push, options.policy, options.force, options.private)
    if options.json:
        form = next(name for name in ("folder", "gguf", "push") if getattr(options, name))
        print_json({"run": options.run, form: where})
    else:
        print(f"{model.title} · {model.record.job.label}: {where}")
    return 0


def _place(text: str) -> Path:
    return Path(text).expanduser().absolute()
