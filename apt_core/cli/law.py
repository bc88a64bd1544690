"""`law`: the power law of post-training, fitted to the curves of stored recoveries. Starts nothing.

A study, or a run that pruned, stands for the recoveries that were made from it.
"""

from __future__ import annotations

import argparse

from apt_core.base.words import number
from apt_core.cli.output import print_json, table
from apt_core.reports.export import reader_of
from apt_core.runs.store import Store
from apt_core.studies.law_curves import used_sentence
from apt_core.studies.law_runs import recoveries_of
from apt_core.studies.named_runs import named_runs
from apt_core.studies.scaling_law import (
    Law,
    Laws,
    check_sentence,
    determined_sentence,
    form_sentence,
    laws_json,
    laws_of,
    schedule_sentence,
    within_sentence,
)

_HEADS = ("constant", "value", "95% interval")


def run(options: argparse.Namespace) -> int:
    store = Store()
    records = recoveries_of(named_runs(store, options.runs), store.made_from)
    found = laws_of(records, options.within, seed=options.seed, known=reader_of(store))
    if options.json:
        print_json(laws_json(found, options.within))
    else:
        print(as_text(found))
    return 0


def as_text(found: Laws) -> str:
    """Every law with its constants, what kept them apart, and what has none."""
    return "\n\n".join(filter(None, [found.apart, *map(_report, found.laws), *found.left_out]))


def _report(law: Law) -> str:
    found = law.fit
    rows = [
        (name, number(value), f"{number(found.low[name])} to {number(found.high[name])}")
        for name, value in found.constants.items()
    ]
    said = [
        used_sentence(law.chosen),
        *law.chosen.left_out,
        form_sentence(found),
        determined_sentence(found),
        check_sentence(law.check),
        schedule_sentence(law),
        *(f"{one.run}: {within_sentence(one)}" for one in law.within),
    ]
    head = f"{law.label} · {len(law.points)} points of {', '.join(law.runs)}"
    fitted = f"Off by {number(found.error)} nats (root mean square)."
    return "\n".join([head, "", table(_HEADS, rows), "", fitted, *filter(None, said)])
