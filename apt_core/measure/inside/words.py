"""What was found inside a layer in words: sentences and the worked equation line by line. No torch."""

from __future__ import annotations

from apt_core.base.words import number, percent, times
from apt_core.measure.inside.values import Change, Inputs, LayerInside, Losers, Saliency, Tile, Worked


def mask_sentence(seen: LayerInside) -> str:
    """The scale of the tile, and how evenly the removals are spread."""
    tile, (rows, columns) = seen.mask, seen.shape
    shares = [share for row in tile.shares for share in row]
    lose = f"{percent(min(shares))} to {percent(max(shares))}" if not is_even(tile) else percent(shares[0])
    return (
        f"{percent(seen.removed / (rows * columns))} of {rows} × {columns} weights removed. One cell is "
        f"{tile.rows_each} × {tile.columns_each} weights; cells lose {lose}."
    )


def is_even(tile: Tile) -> bool:
    """Whether every cell loses the same share, so that only single weights say more."""
    return len({share for row in tile.shares for share in row}) == 1


def kept_sentence(seen: LayerInside, what: str) -> str:
    """what: 'row' or 'column'."""
    found = seen.rows if what == "row" else seen.columns
    width = seen.shape[1] if what == "row" else seen.shape[0]
    empty = f"; {found.empty} lost everything" if found.empty else ""
    if found.least == found.most:
        return f"Every {what} keeps {found.least} of {width} weights."
    return (
        f"A {what} keeps {found.least} to {found.most} of {width} weights, "
        f"{number(found.mean)} on average{empty}."
    )


def groups_sentence(seen: LayerInside) -> str:
    """Empty for a mask without groups."""
    if (groups := seen.groups) is None:
        return ""
    said = f"{groups.keep}:{groups.of}"
    if not groups.violating:
        return f"All {groups.groups:,} groups hold {said}: at most {groups.keep} of {groups.of} weights are not zero."
    return f"{groups.violating:,} of {groups.groups:,} groups violate {said}."


def change_sentence(change: Change) -> str:
    if not change.kept:
        return "No weight was kept."
    if not change.moved:
        return "No kept weight was moved: the method only removes."
    flipped = f"; {change.signs_flipped:,} changed sign" if change.signs_flipped else ""
    return (
        f"{percent(change.moved / change.kept)} of the kept weights were moved, by "
        f"{percent(change.moved_by / change.dense_size) if change.dense_size else '0'} of their size "
        f"(root mean squares), at most by {number(change.furthest)}{flipped}."
    )


def losers_sentence(losers: Losers) -> str:
    one = "row" if losers.what == "rows" else "head"
    of_what = "of its output's energy" if losers.by_output else "of its squared weights"
    worst = losers.worst[0]
    if worst.lost <= 0:
        return f"No {one} lost anything."
    return (
        f"The {one} that lost most is {worst.index}: {lost(worst.lost)} {of_what} "
        f"(the median {one} {lost(losers.median)})."
    )


def lost(share: float) -> str:
    """A share that can be far below a percent, in three digits: 0.000979 -> '0.0979%'."""
    return f"{number(100 * share)}%"


def saliency_sentence(saliency: Saliency) -> str:
    if saliency.agreement is None:
        return f"{saliency.title}, {saliency.formula}: nothing was removed."
    if saliency.threshold is None:
        return (
            f"{saliency.title}, {saliency.formula}: at least as many weights score exactly zero as were removed, so a "
            f"threshold would not choose among them; {percent(saliency.agreement)} of the removed weights score zero."
        )
    own = ", what this run's mask compares (row by row or group by group)" if saliency.own else ""
    return (
        f"{saliency.title}, {saliency.formula}{own}: with one threshold for the whole layer, at "
        f"{number(10**saliency.threshold)}, it would have removed {percent(saliency.agreement)} of the same weights."
    )


def inputs_sentence(inputs: Inputs) -> str:
    outliers = ", ".join(f"{one.column} ({number(one.times_median)} ×)" for one in inputs.outliers)
    features = f"outlier features (times the median norm): {outliers}" if outliers else "no outlier features"
    return (
        f"{inputs.tokens:,} calibration tokens: {inputs.dead} dead inputs, {features}. Relative error, computed again, "
        f"{number(inputs.relative_error)}; the run said {number(inputs.reported)}."
    )


def worked_lines(worked: Worked) -> list[tuple[str, str]]:
    """(what it is, the equation with its values), in the order in which it is worked."""
    tokens, inverse = f"on {worked.tokens:,} calibration tokens", worked.inverse
    whole = worked.whole
    return [
        ("P, the removed columns", f"P = {{{', '.join(map(str, worked.columns))}}}, {worked.chosen}"),
        ("Their weights", f"w_P = {vector(worked.weights)}"),
        (
            "Inverse Hessian at P",
            f"[H⁻¹]_PP = [{'; '.join(' '.join(map(figure, row)) for row in inverse)}], "
            f"H = 2(G + {number(worked.dampening)}·mean(diag G)·I)",
        ),
        ("Multipliers", f"w_P ([H⁻¹]_PP)⁻¹ = {vector(worked.multipliers)}"),
        *(
            (
                f"Column {moved.column}",
                f"δ = −{vector(worked.multipliers)} · {vector(moved.inverse)} = {figure(moved.by)}, "
                f"so {figure(moved.dense)} → {figure(moved.dense + moved.by)} (stored, for the whole row: "
                f"{figure(moved.stored)})",
            )
            for moved in worked.moved
        ),
        (
            "Predicted loss",
            f"½ w_P ([H⁻¹]_PP)⁻¹ w_Pᵀ = ½ · {vector(worked.multipliers)} · {vector(worked.weights)} = "
            f"{figure(worked.predicted)}",
        ),
        (
            f"Loss {tokens}",
            f"δ G δᵀ = {figure(worked.exact)}; the other {figure(worked.predicted - worked.exact)} of the prediction "
            f"are the dampening's. Zeroing P alone would lose {figure(worked.zeroed)}.",
        ),
        (
            f"The whole row, {whole.removed} removals",
            f"zeroed {figure(whole.zeroed)}, optimum of the closed form {figure(whole.optimum)}, stored "
            f"{figure(whole.stored)}, of ‖wX‖² = {figure(whole.energy)}",
        ),
        (
            "The same with the dampening's part",
            f"what the closed form minimises: optimum {figure(whole.dampened_optimum)}, stored "
            f"{figure(whole.dampened_stored)}",
        ),
    ]


def worked_note(worked: Worked) -> str:
    """What a reader must know to compare the numbers with what the run stored."""
    saved = worked.zeroed / worked.exact if worked.exact > 0 else None
    won = f"Moving the other weights loses {times(saved)} less than zeroing alone. " if saved else ""
    if worked.own:
        return (
            f"{won}{worked.method} solves this block of columns by block of columns, what lies left of a block frozen; "
            "with the dampening's part, the optimum of the whole row is what it cannot get below."
        )
    return (
        f"{won}{worked.method} is not APT's own rule: this is what the closed form would have given for the same mask, "
        "and beside it what the run stored."
    )


def vector(values: tuple[float, ...]) -> str:
    return f"[{' '.join(map(figure, values))}]"


def figure(value: float) -> str:
    """Three digits and a true minus."""
    return number(value).replace("-", "−")
