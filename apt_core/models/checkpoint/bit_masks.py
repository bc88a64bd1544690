"""Which weights of a tensor are kept, as bits: one each, or one pattern number for each N:M group. numpy alone.

Temporary arrays take at most two bytes a weight.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


def pack_flags(kept: Flags) -> Bytes:
    """One bit a weight, the first in the lowest bit."""
    return np.packbits(kept, bitorder="little")


def unpack_flags(packed: Bytes, count: int) -> Flags:
    return np.unpackbits(packed, count=count, bitorder="little").view(np.bool_)


def count_set(packed: Bytes) -> int:
    return int(np.bitwise_count(packed).sum(dtype=np.int64))


def spare_bits_are_clear(packed: Bytes, count: int) -> bool:
    """Whether the bits behind the first `count` are all 0."""
    return count % 8 == 0 or int(packed[-1]) >> (count % 8) == 0


def most_kept(kept: Flags, of: int) -> int:
    """The most that any group of `of` neighbours keeps."""
    return int(kept.reshape(-1, of).sum(axis=1, dtype=np.uint8).max())


def group_numbers(kept: Flags, keep: int, of: int) -> NDArray[np.uint16]:
    """The pattern number of each group; a group that keeps fewer takes its first zeros in to have `keep`."""
    groups = kept.reshape(-1, of)
    codes = np.zeros(len(groups), np.uint16)
    for place in range(of):
        codes |= groups[:, place].astype(np.uint16) << np.uint16(place)
    return _numbers_of_codes(keep, of)[codes]


def group_flags(numbers: NDArray[np.uint16], keep: int, of: int) -> Flags:
    """The weights that these patterns keep, `keep` in every group."""
    codes = pattern_codes(keep, of)[numbers]
    kept = np.empty((len(numbers), of), np.bool_)
    for place in range(of):
        kept[:, place] = codes >> np.uint16(place) & np.uint16(1)
    return kept.reshape(-1)


def pack_numbers(numbers: NDArray[np.uint16], width: int) -> Bytes:
    """Numbers of `width` bits behind each other."""
    bits = np.empty((len(numbers), width), np.uint8)
    for place in range(width):
        bits[:, place] = numbers >> np.uint16(place) & np.uint16(1)
    return np.packbits(bits, bitorder="little")


def unpack_numbers(packed: Bytes, count: int, width: int) -> NDArray[np.uint16]:
    bits = np.unpackbits(packed, count=count * width, bitorder="little").reshape(count, width)
    numbers = np.zeros(count, np.uint16)
    for place in range(width):
        numbers |= bits[:, place].astype(np.uint16) << np.uint16(place)
    return numbers


@lru_cache(maxsize=32)
def pattern_codes(keep: int, of: int) -> NDArray[np.uint16]:
    """Every pattern that keeps `keep` of `of`, ascending; weight i of a group is bit i."""
    codes = np.arange(1 << of, dtype=np.uint32)
    return codes[np.bitwise_count(codes) == keep].astype(np.uint16)


@lru_cache(maxsize=32)
def _numbers_of_codes(keep: int, of: int) -> NDArray[np.uint16]:
    """For every code the number of its pattern, filled up from the lowest bit where it keeps fewer than `keep`."""
    codes = np.arange(1 << of, dtype=np.uint32)
    for place in range(of):
        codes |= np.where(np.bitwise_count(codes) < keep, np.uint32(1 << place), np.uint32(0))
    numbers = np.zeros(1 << of, np.uint16)
    known = pattern_codes(keep, of)
    numbers[known] = np.arange(len(known), dtype=np.uint16)
    return numbers[codes]
