"""What stands around the list of runs: the bar of ticked runs, the way back from a deletion, the pages, the dialog."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.runs.hiding import Hidden
from apt_core.runs.labels import LONGEST_NAME, LONGEST_NOTE, LONGEST_TAG, MOST_TAGS
from apt_core.studies.compare import MOST
from apt_core.ui.views.html import Markup

TICKED_BAR = Markup(
    '<div class="compare-bar">'
    '<button type="button" class="quiet-button" data-action="compare" disabled>Compare</button>'
    '<button type="button" class="quiet-button" data-action="delete" hidden>Delete</button>'
    '<button type="button" class="quiet-button" data-action="untick" hidden>Untick all</button>'
    '<span role="status">Tick two to {most} runs to compare them.</span></div>'
).format(most=MOST)

LABEL_SHEET = Markup(
    '<dialog class="sheet" aria-labelledby="label-title"><form method="dialog">'
    '<h3 id="label-title">Label this run</h3><p class="quiet" data-of></p>'
    '<label>Name<input name="name" maxlength="{name}" autocomplete="off"></label>'
    '<label>Tags, with commas between them<input name="tags" maxlength="{tags}" autocomplete="off"></label>'
    '<label>Note<textarea name="note" rows="3" maxlength="{note}"></textarea></label>'
    '<label class="tick"><input type="checkbox" name="pinned">Keep it at the top of the list</label>'
    '<div class="sheet-buttons"><button class="quiet-button strong" value="save">Save</button>'
    '<button class="quiet-button" value="cancel" formnovalidate>Cancel</button></div></form></dialog>'
).format(name=LONGEST_NAME, note=LONGEST_NOTE, tags=MOST_TAGS * (LONGEST_TAG + 2))


def undo_bar(hidden: Sequence[Hidden]) -> Markup:
    """The runs that were deleted last, and a button that brings them back; nothing where none can come back."""
    if not hidden:
        return Markup("")
    last = [one for one in hidden if one.at == hidden[0].at]
    said = "One run is deleted." if len(last) == 1 else f"{len(last)} runs are deleted."
    return Markup(
        '<p class="undo" role="status" data-seconds="{seconds}">{said} '
        '<button type="button" class="quiet-button" data-action="undo" data-runs="{runs}">Undo</button> '
        "<small>possible for a minute</small></p>"
    ).format(
        seconds=int(max(one.seconds_left for one in last)),
        said=said,
        runs=",".join(one.run for one in last),
    )


def pager(page: int, size: int, total: int) -> Markup:
    """'Runs 51 to 100 of 1,000' between two buttons; nothing where all fit on one page."""
    if total <= size:
        return Markup("")
    first, last = page * size + 1, min(total, (page + 1) * size)
    return Markup(
        '<nav class="pager" aria-label="Pages of the list">{}<span role="status">{}</span>{}</nav>'
    ).format(
        _turn("Previous", page - 1, page == 0),
        f"Runs {first:,} to {last:,} of {total:,}",
        _turn("Next", page + 1, last == total),
    )


def _turn(label: str, page: int, off: bool) -> Markup:
    return Markup(
        '<button type="button" class="quiet-button" data-action="page" data-page="{}" {}>{}</button>'
    ).format(max(0, page), "disabled" if off else "", label)
