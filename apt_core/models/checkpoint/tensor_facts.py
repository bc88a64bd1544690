"""What a header says of one tensor, and where in the model its name puts it. No torch."""

from __future__ import annotations

import re
from math import prod
from typing import NamedTuple

# "model.layers.7.self_attn.q_proj.weight" -> block 7, layer "self_attn.q_proj"
IN_BLOCK = re.compile(r"(?:.*\.)?(?:layers|h|blocks|block|layer)\.(?P<block>\d+)\.(?P<layer>.+)\.weight")


class TensorFacts(NamedTuple):
    dtype: str  # e.g. "BF16"
    shape: tuple[int, ...]
    offset: int = 0  # of its first byte in the file, where the header was read

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def n_bytes(self) -> int:
        bits = re.search(r"\d+", self.dtype)  # "BF16", "F8_E4M3", "BOOL"
        return self.numel * (int(bits[0]) // 8 if bits else 1)
