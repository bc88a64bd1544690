"""Size and speed, warnings, and how a run was made."""

from __future__ import annotations

from apt_core.base.policy import STRICT, HostPolicy
from apt_core.events.records import RunRecord
from apt_core.reports import run_words
from apt_core.reports.verdict import verdict_of
from apt_core.ui.views.html import Markup, facts, join, table


def size_panel(record: RunRecord) -> Markup:
    """Size on disk and speed, measured, and the verdict on both; nothing where no model is made."""
    if not run_words.compares_sizes(record):
        return Markup("")
    made = "pruned" if run_words.prunes(record) else "recovered"
    found = verdict_of(record)
    lead = found.lead if found else ""
    return Markup('<div class="sizes">{}<p class="honest"><strong>{}</strong>{}</p></div>').format(
        table(("what", "dense", made), run_words.sizes(record), "Measured on this machine", "tnn"),
        lead,
        run_words.honest_sentence(record).removeprefix(lead),
    )


def warnings_block(record: RunRecord) -> Markup:
    """The warnings of the run, each once."""
    messages = run_words.warnings(record)
    if not messages:
        return Markup("")
    return Markup('<ul class="warnings" aria-label="Warnings">{}</ul>').format(
        join(Markup("<li>{}</li>").format(message) for message in messages)
    )


def provenance(record: RunRecord, policy: HostPolicy = STRICT) -> Markup:
    """Everything that decided the result, for those who want to get it again."""
    return facts(run_words.provenance(record, policy))
