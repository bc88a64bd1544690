"""Models whose blocks differ in width: transformers builds them alike, and each is built again as its entry says.

The entries are those of `families.block_widths`. A block is an object of transformers' own class, made from a copy of
the model's configuration with the block's widths in it; so what computes is transformers, whatever the family.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import transformers

from apt_core.families import block_widths, decoder_blocks

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel


def narrow(model: PreTrainedModel) -> None:
    """Build the blocks again in the widths that the model's configuration states, if it states any.

    Their weights are new; where parameters are on the meta device theirs are as well.
    """
    text = model.config.get_text_config()
    widths, blocks = block_widths(text.to_dict()), decoder_blocks(model)
    for index, own in enumerate(widths):
        blocks[index] = _built(blocks[index], text, own, index)


def _built(block: nn.Module, config: PretrainedConfig, widths: Any, index: int) -> nn.Module:
    own = copy.copy(config)
    for name, value in widths.items():
        setattr(own, name, value)
    make: Any = type(block)
    built: nn.Module = make(own, index)
    return built.to(next(block.parameters()).dtype)


def is_uneven(config: PretrainedConfig) -> bool:
    return bool(block_widths(config.get_text_config().to_dict()))


def model_class(config: PretrainedConfig) -> Any:
    """transformers' class for a model of this configuration; where blocks differ, one that narrows them when made."""
    plain: Any = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if not is_uneven(config):
        return plain

    def build(self: Any, *given: Any, **more: Any) -> None:
        plain.__init__(self, *given, **more)
        narrow(self)

    return type(plain.__name__, (plain,), {"__init__": build, "__module__": plain.__module__})
