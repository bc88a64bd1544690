"""Where the heads of an attention lie in its projections, as configuration and family say. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from apt_core.families.family import Family


class HeadsOf(NamedTuple):
    """`number` heads of `each` neighbouring rows (outputs) or columns (inputs)."""

    along: Literal["rows", "columns"]
    number: int
    each: int


_QUERIES = ("num_attention_heads", "n_head", "num_heads")
_KEYS = ("num_key_value_heads", "num_kv_heads", *_QUERIES)


def heads_of(family: Family, name: str, shape: tuple[int, int], config: Mapping[str, Any]) -> HeadsOf | None:
    """The heads of a projection of `shape` [out, in]; None where it has none, or they do not divide it.

    config: what config.json says of the text model.
    """
    found = family.heads_in(name)
    if found is None:
        return None
    along, whose = found
    names = _QUERIES if whose == "queries" else _KEYS
    count = next((config[known] for known in names if isinstance(config.get(known), int)), 0)
    width = shape[0] if along == "rows" else shape[1]
    if count < 1 or width % count:
        return None
    return HeadsOf(along, count, width // count)
