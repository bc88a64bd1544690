"""Whether heads and channels that config.json states are those of the layers in the weights, block by block. No torch.

By what a family says of its layers; of other families nothing is known here, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from apt_core.families.block_widths import config_of_block
from apt_core.families.family import Family
from apt_core.families.known import family_of_type
from apt_core.models.checkpoint.tensor_facts import IN_BLOCK, TensorFacts

_HEADS, _KEYS = ("num_attention_heads", "n_head"), ("num_key_value_heads",)


class _Layer(NamedTuple):
    """A matrix of a block. out and inputs: as the model multiplies with it, however it is stored."""

    tensor: str
    block: int
    name: str
    out: int
    inputs: int


class _Held(NamedTuple):
    """`size` rows or columns of a layer, which the configuration takes for `heads` times a width that it calls so."""

    layer: _Layer
    along: str
    size: int
    heads: int
    what: str


def disagreement(config: Mapping[str, Any], tensors: Mapping[str, TensorFacts]) -> str:
    """What does not fit, in words; empty where nothing is known to. config: of the text model."""
    family = family_of_type(config.get("model_type"))
    if family is None:
        return ""
    blocks: dict[int, list[_Layer]] = {}
    for layer in _layers(family, tensors):
        blocks.setdefault(layer.block, []).append(layer)
    for block, layers in blocks.items():
        here = config_of_block(config, block)
        if said := _of_channels(family, layers, here) or _of_heads(family, layers, here):
            return said
    return ""


def _layers(family: Family, tensors: Mapping[str, TensorFacts]) -> Iterator[_Layer]:
    """The matrices of the decoder's blocks; other towers of the model have blocks of their own."""
    shorter = family.blocks.partition(".")[2]
    beginnings = tuple(f"{blocks}." for blocks in (family.blocks, shorter, f"language_model.{family.blocks}"))
    for tensor, facts in tensors.items():
        found = IN_BLOCK.fullmatch(tensor) if tensor.startswith(beginnings) else None
        if found and len(facts.shape) == 2:
            out, inputs = reversed(facts.shape) if family.transposed else facts.shape
            yield _Layer(tensor, int(found["block"]), family.name_here(found["layer"]), out, inputs)


def _of_channels(family: Family, layers: list[_Layer], config: Mapping[str, Any]) -> str:
    for side in family.coupled:
        width = config.get(side.width)
        if side.unit != "channels" or not isinstance(width, int):
            continue
        rows = dict(side.rows)
        for layer in layers:
            if layer.name in rows and layer.out != len(rows[layer.name]) * width:
                return f"{side.width} is {width:,}, but {layer.tensor} has {layer.out:,} rows"
            if layer.name == side.reader and layer.inputs != width:
                return f"{side.width} is {width:,}, but {layer.tensor} has {layer.inputs:,} columns"
    return ""


def _of_heads(family: Family, layers: list[_Layer], config: Mapping[str, Any]) -> str:
    """Every head is as wide as `head_dim`, and where that is not stated as every other."""
    stated, widths = config.get("head_dim"), dict[int, _Held]()
    for held in _held_heads(family, layers, config):
        has = f"{held.layer.tensor} has {held.size:,} {held.along}"
        if isinstance(stated, int) and held.size != held.heads * stated:
            return f"{held.what} is {held.heads:,} and head_dim {stated:,}, but {has}"
        if held.size % held.heads:
            return f"{held.what} is {held.heads:,}, but {has}"
        widths[held.size // held.heads] = held
    if len(widths) > 1:
        first, other = list(widths.values())[:2]
        return (
            f"{first.what} is {first.heads:,} and {other.what} {other.heads:,}, but {first.layer.tensor} has "
            f"{first.size:,} {first.along} and {other.layer.tensor} {other.size:,}"
        )
    return ""


def _held_heads(family: Family, layers: list[_Layer], config: Mapping[str, Any]) -> Iterator[_Held]:
    if not family.states_heads:
        return
    counts = {"queries": _stated(config, _HEADS), "keys": _stated(config, _KEYS)}
    fused = {name: parts for side in family.coupled if side.unit == "heads" for name, parts in side.rows}
    for layer in layers:
        if (where := family.heads_in(layer.name)) is not None:
            along, whose = where
            what = (_HEADS if whose == "queries" else _KEYS)[0]
            if count := counts[whose]:
                size = layer.out if along == "rows" else layer.inputs
                yield _Held(layer, along, size, count, what)
            continue
        parts = [counts.get(part) for part in fused.get(layer.name, ())]
        if count := sum(part or 0 for part in parts) if all(parts) else 0:
            yield _Held(layer, "rows", layer.out, count, "the number of heads of queries, keys and values")


def _stated(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """None where it is not stated, or stated for each block of its own."""
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)
