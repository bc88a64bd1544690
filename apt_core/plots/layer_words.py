"""What the chart of layers speaks of, in words: the relative error, and the short names of projections."""

from __future__ import annotations

from collections.abc import Collection

RELATIVE_ERROR = (
    "How far the layer's output moved: the squared change of its outputs on the calibration text, as a share of the "
    "outputs themselves."
)
_PLACES = (
    ("attention", {"q": "queries", "k": "keys", "v": "values", "o": "output"}),
    ("the MLP", {"gate": "gate", "up": "widening", "down": "narrowing"}),
)


def projections(names: Collection[str]) -> str:
    """'q, k, v, o: queries, keys, values, output of attention.' of those among the short names that are known."""
    return " ".join(said for place, known in _PLACES if (said := _of(place, known, names)))


def _of(place: str, known: dict[str, str], names: Collection[str]) -> str:
    there = {name: meaning for name, meaning in known.items() if name in names}
    return f"{', '.join(there)}: {', '.join(there.values())} of {place}." if there else ""
