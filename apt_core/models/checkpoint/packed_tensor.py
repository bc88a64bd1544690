"""One tensor as bits and kept values, and back, bit for bit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apt_core.base.patterns import MAX_GROUP
from apt_core.models.checkpoint import bit_masks
from apt_core.models.checkpoint.packing import BYTES, PackedTensor
from apt_core.models.checkpoint.stored_words import unpacked_words

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_WORDS = {2: torch.int16, 4: torch.int32}  # the stored bits as integers
_FIRST_GROUPS = 4096  # that are looked at before all are
_LEAST_SAVED = 512  # bytes; what the names and sizes of two tensors take


class Parts(NamedTuple):
    kept: Tensor  # [kept] in the tensor's own dtype
    bits: Tensor  # [bytes] uint8


def plan(tensor: Tensor) -> PackedTensor | None:
    """The smallest form of a tensor on the CPU; None where it is best left as it is."""
    dtype = _NAMES.get(tensor.dtype)
    if dtype is None or tensor.dim() == 0 or tensor.numel() == 0:
        return None
    kept = _is_kept(tensor)
    shape = tuple(tensor.shape)
    each = PackedTensor(dtype=dtype, shape=shape, kept=int(np.count_nonzero(kept)))
    best = min([each, *_as_groups(kept, each)], key=lambda form: form.n_bytes)
    return best if best.n_bytes + _LEAST_SAVED <= tensor.numel() * BYTES[dtype] else None


def pack(tensor: Tensor, form: PackedTensor) -> Parts:
    """The two parts of a tensor, in the form that `plan` found for it."""
    kept = _is_kept(tensor)
    if form.keep is None or form.of is None:
        bits = bit_masks.pack_flags(kept)
    else:
        numbers = bit_masks.group_numbers(kept, form.keep, form.of)
        bits = bit_masks.pack_numbers(numbers, form.index_bits)
        kept = bit_masks.group_flags(numbers, form.keep, form.of)
    values = torch.from_numpy(_words(tensor)[kept])
    return Parts(values.view(tensor.dtype), torch.from_numpy(bits))


def unpack(parts: Parts, form: PackedTensor, name: str) -> Tensor:
    """The tensor as it was; raises NotAModel, before it takes memory for it, where the bits do not fit."""
    kept = parts.kept.view(_WORDS[BYTES[form.dtype]]).numpy()
    words = unpacked_words(kept, parts.bits.numpy(), form, name)
    return torch.from_numpy(words).view(DTYPES[form.dtype]).reshape(form.shape)


def _as_groups(kept: bit_masks.Flags, each: PackedTensor) -> list[PackedTensor]:
    """The N:M forms that this tensor has, for every group size that divides its rows."""
    found = []
    for of in (of for of in range(2, MAX_GROUP + 1) if each.shape[-1] % of == 0):
        if bit_masks.most_kept(kept[: _FIRST_GROUPS * of], of) == of:
            continue
        keep = bit_masks.most_kept(kept, of)
        if 0 < keep < of:
            found.append(each.model_copy(update={"keep": keep, "of": of, "kept": each.numel // of * keep}))
    return found


def _words(tensor: Tensor) -> NDArray[np.signedinteger]:
    """The stored bits of all weights, in their order."""
    return tensor.contiguous().view(_WORDS[tensor.element_size()]).reshape(-1).numpy()


def _is_kept(tensor: Tensor) -> bit_masks.Flags:
    return _words(tensor) != 0
