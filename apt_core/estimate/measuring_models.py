"""How fast small models made on the spot are: a token, a prompt, a state space mixer. Their weights are random.

Rates of bare products do not tell these: a block of transformers takes its time in Python, and the weights that one
token is multiplied by come from memory, not from a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch

from apt_core.measure.decoding import Decoder, last_places
from apt_core.models.catalogue.scan import first_mamba_floats

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    Best = Callable[[Callable[[], object]], float]

_BLOCKS = 16  # of the model that is timed; together larger than most caches
_PROMPT, _WRITTEN = 64, 8  # tokens
_VOCABULARY = 64
_LEAST = 1e-7  # seconds


class DecoderRates(NamedTuple):
    """See `machine.Machine`."""

    block: float
    one_token: float
    few_tokens: float


def decoder_rates(dtype: torch.dtype, best: Best) -> DecoderRates:
    """Of blocks as SmolLM2's, in this type; a thin model tells what a block takes that computes next to nothing."""
    thin, wide = _decoder(48, 96, dtype), _decoder(576, 1536, dtype)
    bytes_of_block = sum(p.numel() * p.element_size() for p in wide.model.layers[0].parameters())
    around = best(_writing(thin)) / _WRITTEN / _BLOCKS
    token = best(_writing(wide)) / _WRITTEN / _BLOCKS - around
    prompt = best(_reading(wide)) / _BLOCKS - around
    return DecoderRates(
        block=around,
        one_token=bytes_of_block / max(token, _LEAST),
        few_tokens=bytes_of_block / max(prompt, _LEAST),
    )


def scan_rate(dtype: torch.dtype, best: Best) -> float:
    """Numbers of a Mamba's mixer per second, as `models.catalogue.scan` counts them, between layers of this type."""
    from transformers import MambaConfig

    windows, tokens, hidden, state = 8, 256, 128, 16
    config = MambaConfig(
        hidden_size=hidden, state_size=state, num_hidden_layers=1, vocab_size=_VOCABULARY, use_cache=False
    )
    mamba = _made(config, dtype)
    read = torch.zeros(windows, tokens, dtype=torch.long)
    seconds = best(lambda: mamba(input_ids=read, logits_to_keep=last_places(tokens)))
    return windows * tokens * first_mamba_floats(config.intermediate_size, state) / seconds


@cache
def _decoder(hidden: int, inner: int, dtype: torch.dtype) -> PreTrainedModel:
    from transformers import LlamaConfig

    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=_BLOCKS,
        num_attention_heads=3,
        num_key_value_heads=1,
        vocab_size=_VOCABULARY,
    )
    return _made(config, dtype)


def _made(config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def _writing(model: PreTrainedModel) -> Callable[[], object]:
    decoder = Decoder(model)
    decoder.next_logits(torch.zeros(16, dtype=torch.long))
    token = torch.zeros(1, dtype=torch.long)
    return lambda: [decoder.next_logits(token) for _ in range(_WRITTEN)]


def _reading(model: PreTrainedModel) -> Callable[[], object]:
    prompt = torch.zeros(1, _PROMPT, dtype=torch.long)
    keep = last_places(_PROMPT)
    return lambda: model(input_ids=prompt, use_cache=False, logits_to_keep=keep)
