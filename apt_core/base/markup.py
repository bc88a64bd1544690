"""HTML by hand, but never by pasting: whatever goes into a `Markup` template is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

__all__ = ["Markup", "Row", "facts", "join", "table"]


def join(parts: Iterable[str], between: str = "") -> Markup:
    return Markup(between).join(parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str, kinds: str = "") -> Markup:
    """A table that scrolls inside itself. `kinds`: one letter a column, 'n' for numbers (aligned right)."""
    kinds = kinds or "t" * len(heads)
    classes = ['class="n"' if kind == "n" else "" for kind in kinds]
    head = join(
        Markup("<th scope='col' {}>{}</th>").format(Markup(css), text)
        for css, text in zip(classes, heads, strict=True)
    )
    body = join(_row(cells, classes) for cells in rows)
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table><caption>{}</caption>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(caption, caption, head, body)


def _row(cells: Sequence[str], classes: Sequence[str]) -> Markup:
    attributes = getattr(cells, "attributes", Markup(""))
    return Markup("<tr {}>{}</tr>").format(
        attributes,
        join(
            Markup("<td {}>{}</td>").format(Markup(css), text)
            for css, text in zip(classes, cells, strict=True)
        ),
    )


class Row(list):
    """A table row with attributes of its own: Row(cells, 'id="x"')."""

    def __init__(self, cells: Sequence[str], attributes: Markup):
        super().__init__(cells)
        self.attributes = attributes


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Name and value, name and value: a description list."""
    return Markup('<dl class="facts">{}</dl>').format(
        join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in pairs)
    )
