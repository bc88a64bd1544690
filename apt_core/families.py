"""Where a model keeps its decoder blocks, and which linear layers of a block can be pruned.

Found by structure, so any decoder that `transformers` can load works: the blocks are the ModuleList with
one entry per hidden layer, the projections are every nn.Linear inside a block.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from apt_core.errors import NotAModel


class Layer(NamedTuple):
    block: int
    name: str  # inside the block, e.g. "self_attn.q_proj"
    module: nn.Linear


def decoder_blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder's list of blocks. Raises NotAModel when there is none."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    expected = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    candidates = [found for found in lists if len(found) == expected] or lists
    candidates = [found for found in candidates if prunable_layers(found[0], 0)]
    if not candidates:
        raise NotAModel(
            f"No decoder blocks with linear layers were found in {type(model).__name__}; "
            "choose a causal language model such as SmolLM2."
        )
    return max(candidates, key=lambda found: sum(p.numel() for p in found.parameters()))


def prunable_layers(block: nn.Module, index: int) -> list[Layer]:
    """Every nn.Linear of a block, in the order in which the module tree names them."""
    return [
        Layer(index, name, module)
        for name, module in block.named_modules()
        if type(module) is nn.Linear and module.weight.ndim == 2
    ]


def all_layers(blocks: nn.ModuleList) -> list[Layer]:
    return [layer for index, block in enumerate(blocks) for layer in prunable_layers(block, index)]
