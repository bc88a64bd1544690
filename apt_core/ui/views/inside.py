"""What was seen inside a layer, as the page shows it: sentences, tables, the worked equation, figures. No gradio."""

from __future__ import annotations

from typing import Any

from apt_core.base.words import number, percent
from apt_core.measure.inside import words
from apt_core.measure.inside.questions import LayerQuestion
from apt_core.measure.inside.values import LayerInside, Losers, Worked
from apt_core.plots.inside_layer import NAMES, drawn
from apt_core.reports.reproduce_look import look_again
from apt_core.ui.views.command import copied_block
from apt_core.ui.views.html import Markup, join, table


def figures(seen: LayerInside | None) -> dict[str, dict[str, str] | None]:
    """What each chart of the section shows; nothing where there is nothing to show."""
    if seen is None:
        return dict.fromkeys(NAMES)
    return {
        name: {
            "figure": one.figure.to_json(),
            "title": one.title,
            "summary": one.summary,
            "file": f"{seen.run}-{seen.block}-{seen.layer}-{name}",
        }
        if one
        else None
        for name, one in drawn(seen).items()
    }


def summary(seen: LayerInside) -> Markup:
    """The head of the section, what holds for the whole layer, and who lost most."""
    rows, columns = seen.shape
    head = Markup("<h3>Block {}, {}</h3><p class='lead'>{} × {} weights, {} · {}. {} {}</p>").format(
        seen.block,
        seen.layer,
        rows,
        columns,
        seen.method,
        seen.pattern,
        words.groups_sentence(seen),
        words.losers_sentence(seen.neurons),
    )
    tables = [_counts(seen), _losers(seen.neurons)] + ([_losers(seen.heads)] if seen.heads else [])
    notes = join(Markup('<p class="honest quiet">{}</p>').format(note) for note in seen.notes)
    return head + notes + Markup('<div class="inside-tables">{}</div>').format(join(tables))


def again(question: LayerQuestion | None) -> Markup:
    """The same look as command and as Python."""
    return copied_block(look_again(question)) if question else Markup("")


def equation(seen: LayerInside | None) -> Markup:
    """The closed form on one row, line by line; empty where it was not asked for."""
    if seen is None or seen.worked is None:
        return Markup("")
    worked = seen.worked
    return Markup(
        '<section class="worked"><h3>The closed form on row {}</h3>'
        '<p class="lead">δ = −w<sub>P</sub> ([H⁻¹]<sub>PP</sub>)⁻¹ [H⁻¹]<sub>P,:</sub></p>{}'
        '<p class="honest quiet">{}</p></section>'
    ).format(worked.row, _lines(worked), words.worked_note(worked))


def _lines(worked: Worked) -> Markup:
    rows = words.worked_lines(worked)
    return table(("what", "with its values"), rows, f"Row {worked.row}, worked in float64", "tt")


def _counts(seen: LayerInside) -> Markup:
    rows = [
        (name, str(one.least), number(one.mean), str(one.most), str(one.empty))
        for name, one in (("row", seen.rows), ("column", seen.columns))
    ]
    return table(("kept per", "least", "mean", "most", "empty"), rows, "Kept weights", "tnnnn")


def _losers(losers: Losers) -> Markup:
    one = "row" if losers.what == "rows" else "head"
    heading = "output lost" if losers.by_output else "squares lost"
    rows = [(str(each.index), percent(each.removed), words.lost(each.lost)) for each in losers.worst]
    caption = f"{'Rows' if one == 'row' else 'Heads'} that lost most, of {losers.count}"
    return table((one, "removed", heading), rows, caption, "nnn")


def choices(layers: Any) -> list[tuple[str, str]]:
    """(what a list says, block:layer) of every pruned layer of a record."""
    return [(f"Block {one.block}, {one.layer}", f"{one.block}:{one.layer}") for one in layers]
