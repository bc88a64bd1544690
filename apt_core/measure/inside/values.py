"""What was seen inside a layer, bounded in size whatever the layer's. No torch."""

from __future__ import annotations

from typing import Literal

from apt_core.base.values import Frozen


class Tile(Frozen):
    """A matrix counted in rectangles: the share of each rectangle's entries that are True."""

    rows_each: int  # entries that a cell covers downwards; the last row of cells may cover fewer
    columns_each: int
    shares: tuple[tuple[float, ...], ...]


class Histogram(Frozen):
    """counts[i] lie between edges[i] and edges[i + 1], the last edge included."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class KeptCounts(Frozen):
    """How many weights each row (or column) of a layer keeps."""

    least: int
    mean: float
    most: int
    empty: int  # rows or columns of which nothing is left
    histogram: Histogram


class Groups(Frozen):
    """N:M as it is stored: a group violates the pattern when more than N of its M weights are not zero."""

    keep: int
    of: int
    groups: int
    violating: int
    map: Tile  # the share of violating groups; a cell counts groups, not weights


class Change(Frozen):
    """The kept weights before against after; lengths are root mean squares over the kept weights.

    grid: counts of (dense, stored) pairs, [rows of the dense value][columns of the stored one], both cut by `edges`;
    what lies outside counts in the outermost cells.
    """

    kept: int
    moved: int  # kept weights that are not what they were, beyond rounding to the stored type
    dense_size: float
    moved_by: float
    furthest: float
    signs_flipped: int
    edges: tuple[float, ...]
    grid: tuple[tuple[int, ...], ...]


class Loser(Frozen):
    """A row (a neuron) or a head: its number, the share of its weights removed, and what it lost of its output.

    lost: the share of the output's energy on the calibration text where the inputs are known, of the squared weights
    otherwise.
    """

    index: int
    removed: float
    lost: float


class Losers(Frozen):
    """The rows or heads that lost most, the first one most. count: of how many; each: rows or columns of one."""

    what: Literal["rows", "heads"]
    along: Literal["rows", "columns"] = "rows"
    count: int
    each: int = 1
    by_output: bool  # is `lost` of the output's energy?
    worst: tuple[Loser, ...]
    median: float  # of what each lost


class Outlier(Frozen):
    """An input whose norm is far above the others'."""

    column: int
    norm: float
    times_median: float
    kept: float  # share of its weights that stayed


class Saliency(Frozen):
    """What one score says of every dense weight, of those that went and those that stayed.

    Bins are of log10 of the score. threshold: as many weights score at most this as were removed (log10); None where
    nothing was removed, and where that is a score of zero, which has no logarithm. agreement: the share of the removed
    weights that score at most this, None where nothing was removed.
    """

    name: Literal["wanda", "obs"]
    title: str
    formula: str
    own: bool  # is it what the run's own mask compares?
    threshold: float | None
    agreement: float | None
    zeros: int  # scores of exactly zero, which have no logarithm
    edges: tuple[float, ...]
    removed: tuple[int, ...]
    kept: tuple[int, ...]


class Inputs(Frozen):
    """What reaches the layer in the pruned model on the calibration text."""

    tokens: int
    norms: Histogram  # of log10 of the root mean square of each input
    dead: int  # inputs that are zero on every token
    outliers: tuple[Outlier, ...]
    saliencies: tuple[Saliency, ...]
    relative_error: float
    reported: float  # as the run said


class Moved(Frozen):
    """One kept weight of the worked row.

    inverse: its entries of [H^-1]_P, one for each removed weight. by: the compensation that the formula gives for the
    removed weights of the example. stored: what the run stored, which made up for the whole row's removals.
    """

    column: int
    dense: float
    inverse: tuple[float, ...]
    by: float
    stored: float


class WholeRow(Frozen):
    """The loss of one row with everything that was removed from it, ||dw X||^2 on the calibration text.

    The closed form minimises this and the dampening's part together (`dampened_`): there no other weights with the same
    mask are below the optimum; without the dampening's part they can be, by a little.
    """

    removed: int
    energy: float  # ||w X||^2 of the dense row
    zeroed: float  # had the other weights stayed as they were
    optimum: float  # with the compensation of the closed form for the same mask
    stored: float  # as the run stored it
    dampened_optimum: float
    dampened_stored: float


class Worked(Frozen):
    """The closed form of the Multiple Removal Problem on one row of this layer, with its numbers.

    H = 2 (G + dampening * mean of its diagonal * I), as the paper has it. P are `columns`: a few of the row's removed
    weights, so that it can be read. exact = predicted - the part of the dampening.
    """

    row: int
    columns: tuple[int, ...]
    chosen: str  # how they were chosen, in words
    weights: tuple[float, ...]  # w_P
    inverse: tuple[tuple[float, ...], ...]  # [H^-1]_PP
    multipliers: tuple[float, ...]  # w_P ([H^-1]_PP)^-1
    moved: tuple[Moved, ...]  # the kept weights that the compensation moves most
    dampening: float
    predicted: float  # 1/2 w_P ([H^-1]_PP)^-1 w_P^T
    exact: float  # dw G dw^T
    zeroed: float  # the same had no other weight moved
    tokens: int
    whole: WholeRow
    own: bool  # is the run's method APT?
    method: str


class LayerInside(Frozen):
    """Everything seen inside one layer of a finished run."""

    kind: Literal["layer"] = "layer"
    run: str
    block: int
    layer: str
    shape: tuple[int, int]
    pattern: str
    method: str
    removed: int
    dtype: str  # of the stored weights
    mask: Tile
    corner: Tile  # the first rows and columns, weight by weight
    rows: KeptCounts
    columns: KeptCounts
    groups: Groups | None
    change: Change
    neurons: Losers
    heads: Losers | None
    inputs: Inputs | None = None
    worked: Worked | None = None
    notes: tuple[str, ...] = ()
