"""What each layer gets before a run, as the page shows it: the chart, and a table of cells to change. No gradio."""

from __future__ import annotations

from collections.abc import Collection

from apt_core.base.words import DASH, count, percent
from apt_core.measure.layer_shares import LayerShare, LayerShares
from apt_core.methods.component import LayerKey
from apt_core.plots.layer_shares import by_block, drawn, mean_of
from apt_core.ui.views.html import Markup, join

MOST_CELLS = 4_000  # that can be changed; of larger models the table only shows


def payload(found: LayerShares) -> dict[str, str]:
    """What the chart shows."""
    chart = drawn(found)
    return {
        "figure": chart.figure.to_json(),
        "title": chart.title,
        "summary": chart.summary,
        "file": "allocation",
        "csv": "",
    }


def total(found: LayerShares) -> str:
    """What goes of the whole."""
    return f"Together {percent(found.sparsity)} of {count(found.weights)} weights go."


def grid(found: LayerShares, held: Collection[LayerKey], editable: bool) -> Markup:
    """A row for each block, a column for each kind of layer. held: marked, and kept as they are."""
    names, blocks = by_block(found)
    editable = editable and len(found.layers) <= MOST_CELLS
    head = join(Markup('<th scope="col" class="n">{}</th>').format(name) for name in names.values())
    rows = join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            block, join(_cell(name, cells.get(kind, []), held, editable) for kind, name in names.items())
        )
        for block, cells in blocks.items()
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{0}"><table class="shares"><caption>{0}</caption>'
        '<thead><tr><th scope="col">block</th>{1}</tr></thead><tbody>{2}</tbody></table></div>'
    ).format("What each layer is to lose, in percent", head, rows)


def _cell(name: str, layers: list[LayerShare], held: Collection[LayerKey], editable: bool) -> Markup:
    """Of one layer a number that can be changed; of several, such as experts, what they lose together."""
    if not layers:
        return Markup('<td class="n">{}</td>').format(DASH)
    said, style = _percentage(mean_of(layers)), f"--share:{mean_of(layers):.3f}"
    first = layers[0]
    is_held = any((one.block, one.layer) in held for one in layers)
    mark = Markup(' data-held="yes"') if is_held else Markup("")
    if not editable or len(layers) > 1:
        return Markup('<td class="n" style="{}"{}>{}</td>').format(style, mark, said)
    words = f"block {first.block}, {name}, percent to remove{', held' if is_held else ''}"
    return Markup(
        '<td class="n" style="{}"{}><input type="number" min="0" max="99" step="0.1" inputmode="decimal" value="{}" '
        'data-layer="{}" aria-label="{}"></td>'
    ).format(style, mark, said, first.name, words)


def _percentage(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")
