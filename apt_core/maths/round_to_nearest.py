"""Group-wise rounding to a few bits: round to nearest, not GPTQ or AWQ, which move the other weights as they round.

Each row is cut into groups of neighbouring inputs, each with a scale in float16:

    symmetric    q = round(w / s),                s = max |w| / (2^(bits - 1) - 1),          w' = s q
    asymmetric   q = round(w / s) + z,            s = (max(w, 0) - min(w, 0)) / (2^bits - 1), w' = s (q - z)

with z = round(-min(w, 0) / s), a whole number of `bits` bits. A zero stays zero in both: what is pruned stays so.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

_SCALE_BITS = 16
_LEAST_SCALE = 2.0**-24  # the smallest float16 above 0
_LARGEST_SCALE = 65504.0


def round_to_nearest(
    weight: Float[Tensor, "out in"], bits: int, group: int, symmetric: bool = True
) -> Float[Tensor, "out in"]:
    """The weights that stored codes and scales give back, in float32; the last group of a row may be shorter."""
    rows, width = weight.shape
    groups = -(-width // group)
    padded = nn.functional.pad(weight.float(), (0, groups * group - width)).reshape(rows, groups, group)
    rounded = _symmetric(padded, bits) if symmetric else _asymmetric(padded, bits)
    return rounded.reshape(rows, -1)[:, :width].contiguous()


def stored_bits(
    rows: int, width: int, bits: int, group: int, symmetric: bool = True, kept: int | None = None
) -> int:
    """Bits of a matrix's codes and scales. kept: only so many codes, and one bit a weight that says which."""
    scales = rows * -(-width // group) * (_SCALE_BITS + (0 if symmetric else bits))
    whole = rows * width * bits
    return scales + (whole if kept is None else min(whole, rows * width + kept * bits))


def _symmetric(groups: Float[Tensor, "out groups group"], bits: int) -> Float[Tensor, "out groups group"]:
    top = 2 ** (bits - 1) - 1
    scale = _as_stored(groups.abs().amax(-1, keepdim=True) / top)
    return (groups / scale).round().clamp(-top, top) * scale


def _asymmetric(groups: Float[Tensor, "out groups group"], bits: int) -> Float[Tensor, "out groups group"]:
    top = 2**bits - 1
    low, high = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True).clamp(min=0)
    scale = _as_stored((high - low) / top)
    zero = (-low / scale).round().clamp(0, top)
    return (((groups / scale).round() + zero).clamp(0, top) - zero) * scale


def _as_stored(scale: Float[Tensor, "out groups 1"]) -> Float[Tensor, "out groups 1"]:
    return scale.clamp(_LEAST_SCALE, _LARGEST_SCALE).to(torch.float16).float()
