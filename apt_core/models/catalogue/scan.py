"""What one token holds inside a state space mixer, from configuration and tensor shapes. No torch.

Without their kernels transformers computes the recurrences of Mamba by tensors of the whole sequence:

    Mamba    exp(A dt), dt B and dt B x: [tokens, inner, state]
    Mamba-2  the decay between any two tokens of a chunk, their scores and the product: [tokens, chunk, heads];
             B and C repeated for every head, B decayed, B in the order of a product: [tokens, heads, state]

and beside these about ten tensors [tokens, inner] (measured: 9 to 11 over six shapes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apt_core.models.checkpoint.headers import TensorFacts

_WIDE = 10  # [tokens, inner]
_FIRST = 3  # [tokens, inner, state] of a Mamba
_CHUNKED, _REPEATED = 3, 4  # [tokens, chunk, heads] and [tokens, heads, state] of a Mamba-2


def scan_floats(config: Mapping[str, Any], tensors: Mapping[str, TensorFacts]) -> list[int]:
    """float32 numbers per token in each state space mixer of a model; none in a model without."""
    mixers = [name.removesuffix("A_log") for name in tensors if name.endswith(".A_log")]
    return [_of_a_mixer(config, mixer, tensors) for mixer in mixers]


def first_mamba_floats(inner: int, state: int) -> int:
    return _WIDE * inner + _FIRST * inner * state


def _of_a_mixer(config: Mapping[str, Any], mixer: str, tensors: Mapping[str, TensorFacts]) -> int:
    decays = tensors[f"{mixer}A_log"].shape
    if len(decays) == 2:
        return first_mamba_floats(*decays)
    out = tensors.get(f"{mixer}out_proj.weight")
    inner = out.shape[-1] if out else 0
    chunk = _number(config, "chunk_size", "mamba_chunk_size")
    state = _number(config, "state_size", "ssm_state_size", "mamba_d_state")
    return _WIDE * inner + decays[0] * (_CHUNKED * chunk + _REPEATED * state)


def _number(config: Mapping[str, Any], *names: str) -> int:
    """Under whichever name a family's configuration keeps it; 0 where it keeps none."""
    return next((value for name in names if isinstance(value := config.get(name), int)), 0)
