"""How a chart distinguishes runs: by marker shape and colour, enough for a dozen."""

from __future__ import annotations

SHAPES = (
    *("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "x", "star"),
    *("hexagon", "cross", "bowtie", "hourglass", "circle-open", "square-open", "diamond-open", "star-open"),
)
COLOURS = tuple(f"mark-{place}" for place in range(1, 9))


def mark_of(place: int) -> tuple[str, str]:
    """(marker shape, colour token) of the run at this place of a comparison."""
    return SHAPES[place % len(SHAPES)], COLOURS[place % len(COLOURS)]
