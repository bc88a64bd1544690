"""A set of answered prompts as a table prompt x model. All text is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.measure.answer_set import AnswerSet, PromptRow
from apt_core.reports.answer_sheet import HONEST, note_of, settings_of
from apt_core.ui.views.html import Markup, join


def answer_table(record: AnswerSet, downloads: Sequence[tuple[str, str]] = ()) -> Markup:
    """downloads: (address, label) of the files of the record."""
    if not record.rows:
        return Markup("")
    heads = join(Markup('<th scope="col">{}</th>').format(head) for head in ("Prompt", *record.models))
    rows = join(_row(row, len(record.models)) for row in record.rows)
    links = join(Markup('<a href="{}" download>{}</a>').format(*link) for link in downloads)
    nav = Markup(
        '<nav class="downloads" aria-label="Download the answers"><span>Download</span>{}</nav>'
    ).format(links)
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="Answers to several prompts"><table class="answers">'
        "<caption>{} {}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>{}"
    ).format(settings_of(record), HONEST, heads, rows, nav if downloads else "")


def _row(row: PromptRow, models: int) -> Markup:
    if row.error:
        said = Markup('<td colspan="{}" class="bad">{}</td>').format(models, row.error)
    else:
        said = join(
            Markup('<td><div class="said">{}</div><small>{}</small></td>').format(
                one.text.strip(), note_of(one, row)
            )
            for one in row.answers
        )
    return Markup('<tr><th scope="row">{}</th>{}</tr>').format(row.prompt, said)
