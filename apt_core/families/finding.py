"""The blocks and the prunable layers of a loaded model: by its family's data, or by structure.

An unlisted family is searched by structure: the blocks are the ModuleList with one entry per hidden layer,
the layers every linear map of a block in the order of the module tree, routers left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from math import prod
from typing import TYPE_CHECKING

from apt_core.base.errors import NotAModel
from apt_core.base.lazy import lazy
from apt_core.families.family import Family
from apt_core.families.known import FAMILIES, UNLISTED, may_be_pruned
from apt_core.families.layer import Layer, is_linear

if TYPE_CHECKING:
    from typing import Protocol

    import torch
    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from apt_core.families import experts, functional_weights, selective_scan

    class Proxy(Protocol):
        def remove(self) -> None:
            """Restores what transformers computes."""

else:
    torch = lazy("torch")
    experts = lazy("apt_core.families.experts")
    functional_weights = lazy("apt_core.families.functional_weights")
    selective_scan = lazy("apt_core.families.selective_scan")


def decoder_blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's list of blocks. Raises NotAModel when there is none."""
    lists = _lists(model)
    family = FAMILIES.get(model.config.get_text_config().model_type)
    if family is not None and family.blocks in lists:
        return lists[family.blocks]
    expected = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    candidates = [found for found in lists.values() if len(found) == expected] or list(lists.values())
    candidates = [found for found in candidates if any(prunable_layers(block, 0) for block in found)]
    if not candidates:
        raise NotAModel(
            f"No decoder blocks with linear layers were found in {type(model).__name__}; "
            "choose a causal language model such as SmolLM2."
        )
    return max(candidates, key=lambda found: sum(p.numel() for p in found.parameters()))


def _lists(model: nn.Module) -> dict[str, nn.ModuleList]:
    modules = model.named_modules()
    return {name: module for name, module in modules if isinstance(module, torch.nn.ModuleList) and module}


def family_of(block: nn.Module) -> Family | None:
    """The family of a block, known by the package of transformers that its class comes from."""
    packages = type(block).__module__.split(".")
    return FAMILIES.get(packages[-2]) if len(packages) > 1 else None


def opening_token(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that has to begin every window of text for a model of this configuration; None for most families."""
    return tokenizer.bos_token_id if opens_with_bos(config) else None


def opens_with_bos(config: PretrainedConfig) -> bool:
    family = FAMILIES.get(config.get_text_config().model_type)
    return family is not None and family.opens_with_bos


def prunable_layers(block: nn.Module, index: int, optional: bool = False) -> list[Layer]:
    """Every layer of a block that is pruned, in the order in which a token meets them.

    optional: also those that its family prunes only when asked.
    """
    family = family_of(block)
    kept = [layer for layer in linear_maps(block, index) if may_be_pruned(family, layer.name, optional)]
    if family is None:
        return kept
    places = {layer.name: family.place(layer.name, optional) for layer in kept}
    return sorted(kept, key=lambda layer: places[layer.name] or 0)


def linear_maps(block: nn.Module, index: int) -> Iterator[Layer]:
    """Every linear map of a block, pruned or not, in the order of the module tree."""
    family = family_of(block)
    for name, module in block.named_modules():
        if experts.is_fused(module):
            for expert, linear in experts.matrices(module):
                yield Layer(index, f"{name}.{expert}", linear, module)
        elif is_linear(module):
            functional = family is not None and name in family.functional_weights
            called = functional_weights.FunctionalLinear(module) if functional else module
            yield Layer(index, name, called, parts=_parts(family, block, name))


def _parts(family: Family | None, block: nn.Module, name: str) -> tuple[tuple[str, int], ...]:
    """(name, rows) of the projections that the rows of a layer are; none when it is one projection."""
    fused = next((fused for fused in family.fused if fused.layer == name), None) if family else None
    if fused is None:
        return ()
    owner = block.get_submodule(name.rpartition(".")[0])
    return tuple(
        (part, prod(getattr(owner, attribute) for attribute in attributes))
        for part, attributes in fused.parts
    )


def all_layers(blocks: nn.ModuleList, optional: bool = False) -> list[Layer]:
    """The layers of all blocks; one whose weight an earlier block shares comes once, with that block."""
    found = [layer for index, block in enumerate(blocks) for layer in prunable_layers(block, index, optional)]
    first: dict[int, Layer] = {}
    for layer in found:
        first.setdefault(id(layer.module.weight), layer)
    return list(first.values())


def attention_layers(blocks: nn.ModuleList, layers: Iterable[Layer]) -> set[tuple[int, str]]:
    """(block, name) of the projections of an attention; of all layers where the model has none."""
    every = [(layer.block, layer.name) for layer in layers]
    found = {
        (block, name) for block, name in every if (family_of(blocks[block]) or UNLISTED).in_attention(name)
    }
    return found or set(every)


def later_uses(blocks: nn.ModuleList, layers: Iterable[Layer]) -> dict[tuple[int, str], list[Layer]]:
    """(block, name) of a layer whose weight later blocks use as well -> the layers there that use it."""
    first = {id(layer.parameter): layer for layer in layers if layer.experts is None}
    found: dict[tuple[int, str], list[Layer]] = {}
    for index, block in enumerate(blocks):
        for layer in linear_maps(block, index):
            own = first.get(id(layer.parameter))
            if own is not None and own.block < index:
                found.setdefault((own.block, own.name), []).append(layer)
    return found


def module_proxies(layers: Iterable[Layer]) -> list[Proxy]:
    """Until removed, they let everything be computed by the modules of these layers, so that hooks on them fire."""
    layers = list(layers)
    functional = [
        layer.module for layer in layers if isinstance(layer.module, functional_weights.FunctionalLinear)
    ]
    return [*map(functional_weights.ModuleProxy, functional), *_of_experts(layers, experts.ExpertsProxy)]


def _of_experts(layers: list[Layer], proxy: type[experts.ExpertsProxy]) -> list[Proxy]:
    fused = {id(layer.experts): layer.experts for layer in layers if layer.experts is not None}
    of_each = {
        key: {
            ".".join(layer.name.rsplit(".", 2)[1:]): layer.module
            for layer in layers
            if layer.experts is module
        }
        for key, module in fused.items()
    }
    return [proxy(fused[key], linears) for key, linears in of_each.items()]


def differentiable() -> AbstractContextManager[None]:
    """While open, every family's forward can be followed by a backward pass at no more than a few times its cost."""
    return selective_scan.differentiable_scans()


def what_was_guessed(model: PreTrainedModel, layers: Iterable[Layer]) -> str | None:
    """A sentence that names what is pruned in a family nobody has tried; None for the listed ones."""
    model_type = model.config.get_text_config().model_type
    if model_type in FAMILIES:
        return None
    names = dict.fromkeys(layer.name for layer in layers if not layer.routed)
    names |= dict.fromkeys(layer.name.rsplit(".", 2)[0] for layer in layers if layer.routed)
    return (
        f"The family {model_type} has not been tried; these layers were found by structure and are pruned: "
        f"{', '.join(names)}. Check that this is what you want."
    )
