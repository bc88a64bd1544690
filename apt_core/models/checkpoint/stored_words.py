"""The stored bits of a packed tensor's weights, put back into their places. numpy alone, no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apt_core.models.checkpoint import bit_masks
from apt_core.models.checkpoint.packing import BYTES, PackedTensor, broken

Words = NDArray[np.signedinteger]


def word_type(form: PackedTensor) -> str:
    """numpy's name of the integers that hold the bits of a weight."""
    return f"i{BYTES[form.dtype]}"


def unpacked_words(kept: Words, bits: bit_masks.Bytes, form: PackedTensor, name: str) -> Words:
    """[numel] the bits of all weights, zero where nothing was kept.

    Raises NotAModel, before it takes memory for them, where the mask does not fit the tensor called `name`.
    """
    flags = _flags(bits, form, name)
    words = _nothing_kept(form)
    words[flags] = kept
    return words


def _nothing_kept(form: PackedTensor) -> Words:
    return np.zeros(form.numel, dtype=word_type(form))


def _flags(bits: bit_masks.Bytes, form: PackedTensor, name: str) -> bit_masks.Flags:
    if not bit_masks.spare_bits_are_clear(bits, form.groups * form.index_bits):
        raise broken(name, "its mask is longer than its weights")
    if form.keep is None or form.of is None:
        if (found := bit_masks.count_set(bits)) != form.kept:
            raise broken(name, f"its mask keeps {found} weights, but {form.kept} values are stored")
        return bit_masks.unpack_flags(bits, form.numel)
    numbers = bit_masks.unpack_numbers(bits, form.groups, form.index_bits)
    if int(numbers.max()) >= len(bit_masks.pattern_codes(form.keep, form.of)):
        raise broken(name, f"a group has a pattern that {form.keep}:{form.of} does not know")
    return bit_masks.group_flags(numbers, form.keep, form.of)
