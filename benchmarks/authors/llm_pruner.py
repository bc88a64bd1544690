"""LLM-Pruner (arXiv 2305.11627): which heads and channels stay, by their importance and dependency graph and by ours.

Both are given the same weights and the same gradients.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from apt_core import families
from apt_core.execute.shrink_widths import group_importance
from apt_core.families import Layer, Structure
from apt_core.maths.group_importance import WeightGradients, importance_along, lowest_together
from benchmarks.authors import borrowed

RULES = ("l1", "l2", "vectorize", "param_first", "param_second", "param_mix")
RATIO = 0.35  # one of three key-value heads, which their code cannot do with less
_PACKAGE = "LLMPruner"
Key = tuple[int, str]  # (block, unit)


def llm_pruner(
    repository: Path, model: Any, windows: Tensor, blocks: range, title: str
) -> list[dict[str, Any]]:
    """Every rule within blocks, and the first-order one over all of these blocks together."""
    model = copy.deepcopy(model).requires_grad_(True)
    model.config.use_cache = False
    model.set_attn_implementation("eager")
    _with_gradients(model, windows)
    ours = {rule: _ours(model, blocks, rule) for rule in RULES}
    each = [ours["l1"][1][key].head_width if key[1] == "heads" else 1 for key in ours["l1"][1]]
    widths = dict(zip(ours["l1"][1], each, strict=True))
    rows: list[dict[str, Any]] = []
    grouped = model.config.num_key_value_heads < model.config.num_attention_heads
    with borrowed.modules_of(repository, _PACKAGE):
        pruning, rules = _modules(repository)
        for rule in RULES:
            theirs = dict(_theirs(pruning, rules, model, blocks, rule, False, widths))
            rows += _alike(f"LLM-Pruner, {rule}, {title}", theirs, _lowest(ours[rule][0], theirs))
            if grouped:
                heads = {key: gone for key, gone in theirs.items() if key[1] == "heads"}
                folded = _lowest(_ours(model, blocks, rule, _folded)[0], heads)
                rows += _alike(f"LLM-Pruner, {rule}, {title}, ours folded as theirs", heads, folded)
        theirs = dict(_theirs(pruning, rules, model, blocks, "param_first", True, widths))
        together = _lowest_of_all(ours["param_first"][0], sum(map(len, theirs.values())))
        rows += _alike(f"LLM-Pruner, param_first, ranked over blocks, {title}", theirs, together)
    return rows


def random_model() -> tuple[Any, Tensor]:
    """Six blocks in which every query head has its own keys and values, as in the LLaMA of the paper."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=128, intermediate_size=352, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=8,
        vocab_size=300,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), torch.randint(0, 300, (10, 64))


def _with_gradients(model: Any, windows: Tensor) -> None:
    """Where their rules look: `grad` of the mean loss, and `acc_grad`, the mean over windows of the squares."""
    squares = {name: torch.zeros_like(one) for name, one in model.named_parameters()}
    for window in windows:
        model.zero_grad()
        model(input_ids=window[None], labels=window[None]).loss.backward()
        for name, one in model.named_parameters():
            squares[name] += one.grad.square() / len(windows)
    model.zero_grad()
    model(input_ids=windows, labels=windows).loss.backward()
    for name, one in model.named_parameters():
        one.acc_grad = squares[name]


# ---- theirs


def _modules(repository: Path) -> tuple[Any, Any]:
    for name in (_PACKAGE, f"{_PACKAGE}.pruner"):
        borrowed.bare_package(repository, name)
    pruning = borrowed.module(f"{_PACKAGE}.torch_pruning")
    borrowed.module(f"{_PACKAGE}.torch_pruning.pruner.algorithms.metapruner").print = lambda *_: None
    return pruning, borrowed.module(f"{_PACKAGE}.pruner.hf_llama_pruner")


def _theirs(
    pruning: Any, rules: Any, model: Any, blocks: range, rule: str, together: bool, widths: dict[Key, int]
) -> Iterator[tuple[Key, set[int]]]:
    """(block, unit) -> the groups that go: as their scripts call it, the roots those for grouped queries."""
    layers = model.model.layers
    importance = (
        rules.MagnitudeImportance(p=int(rule[1])) if rule in ("l1", "l2")
        else rules.TaylorImportance(group_reduction="sum", taylor=rule)
    )  # fmt: skip
    roots: dict[nn.Module, Key] = {layers[block].self_attn.k_proj: (block, "heads") for block in blocks}
    roots |= {layers[block].mlp.gate_proj: (block, "channels") for block in blocks}
    pruner = pruning.pruner.MetaPruner(
        model,
        {"input_ids": torch.arange(8)[None]},
        importance=importance,
        global_pruning=together,
        iterative_steps=1,
        ch_sparsity=RATIO,
        ignored_layers=[],
        channel_groups={},
        consecutive_groups={layer.self_attn.k_proj: layer.self_attn.head_dim for layer in layers},
        customized_pruners={type(model.model.norm): rules.hf_rmsnorm_pruner},
        root_module_types=None,
        root_instances=list(roots),
        output_transform=lambda out: out.logits,
    )
    for group in pruner.step(interactive=True):
        dependency, places = group[0]
        key = roots[dependency.target.module]
        yield key, {place // widths[key] for place in places}


# ---- ours


def _ours(
    model: Any, blocks: range, rule: str, importance: Callable[..., Tensor] = group_importance
) -> tuple[dict[Key, Tensor], dict[Key, Structure]]:
    scores: dict[Key, Tensor] = {}
    structures: dict[Key, Structure] = {}
    for block in blocks:
        own = {layer.name: layer for layer in families.prunable_layers(model.model.layers[block], block)}
        gradients = {name: _gradients(layer) for name, layer in own.items()}
        shapes = {name: layer.shape for name, layer in own.items()}
        family = families.family_of(model.model.layers[block])
        for one in families.structures_of(family, shapes, model.config.to_dict()):
            structures[block, one.unit] = one
            scores[block, one.unit] = importance(one, own, gradients, rule)
    return scores, structures


def _folded(
    structure: Structure, layers: Mapping[str, Layer], gradients: Mapping[str, WeightGradients], rule: str
) -> Tensor:
    """Longer members laid over the shortest end to end, as their code does: query head h counts for key-value head
    h mod n, where transformers has it read head h // (heads of a group)."""
    width = structure.head_width or 1
    shortest = structure.groups * width
    total = torch.zeros(shortest)
    for member in structure.members:
        dimension = 0 if member.along == "rows" else 1
        of_each = importance_along(layers[member.layer].matrix, gradients[member.layer], rule, dimension)
        total += of_each.reshape(-1, shortest).sum(0)
    return total.reshape(structure.groups, width).sum(1)


def _gradients(layer: Layer) -> WeightGradients:
    weight: Any = layer.parameter
    return WeightGradients(weight.grad, weight.acc_grad)


def _lowest(scores: dict[Key, Tensor], theirs: dict[Key, set[int]]) -> dict[Key, set[int]]:
    """As many of each block as they remove."""
    return {key: set(scores[key].argsort(stable=True)[: len(gone)].tolist()) for key, gone in theirs.items()}


def _lowest_of_all(scores: dict[Key, Tensor], count: int) -> dict[Key, set[int]]:
    kept = lowest_together(scores, dict.fromkeys(scores, 1), float(count))
    return {
        key: set(found.argsort(stable=True)[: len(found) - kept[key]].tolist())
        for key, found in scores.items()
    }


def _alike(what: str, theirs: dict[Key, set[int]], ours: dict[Key, set[int]]) -> Iterator[dict[str, Any]]:
    """The share of the groups that they remove and we remove as well."""
    for unit in ("heads", "channels"):
        gone = [(theirs[key], ours.get(key, set())) for key in theirs if key[1] == unit]
        count = sum(len(one) for one, _ in gone)
        if count:
            yield {
                "what": f"{what}: {unit}",
                "agreement": sum(len(one & other) for one, other in gone) / count,
                "of": count,
            }
