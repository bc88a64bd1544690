"""Whether a model's configuration and its weights describe the same model, before anything is allocated for it.

transformers builds what config.json asks for and fills in what the files have: a million blocks that no file holds, or
half of those that it does hold, would be built without a word. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apt_core.base.errors import NotAModel
from apt_core.families.block_widths import BLOCK_WIDTHS, WIDTH_NAMES
from apt_core.models.checkpoint.layer_agreement import disagreement
from apt_core.models.checkpoint.tensor_facts import IN_BLOCK, TensorFacts

MOST_BLOCKS = 1_000
_MOST = 100_000_000  # of any width or number
_BLOCKS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_WIDTHS = (
    *_HIDDEN,
    "vocab_size",
    "intermediate_size",
    "ffn_dim",
    "n_inner",
    "max_position_embeddings",
    "n_positions",
)
_MUST_EXIST = (*_HIDDEN, "vocab_size")  # each is a dimension of some tensor
_EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "embeddings.weight",
    "word_embeddings.weight",
)

_FLOAT_TYPE = re.compile(r"(torch\.)?(auto|half|float|double|b?float16|float32|float64|float8_\w{1,20})")

Facts = Mapping[str, TensorFacts]


def check_agreement(config: Mapping[str, Any], tensors: Facts, where: str) -> None:
    """Raise NotAModel with one sentence where config.json and the headers cannot be of one model."""
    text = _text_part(config)
    _check_numbers(text, where)
    for part in (config, text):
        _check_float_type(part, where)
    _check_blocks(text, tensors, where)
    _check_heads(text, where)
    _check_block_widths(text, where)
    _check_widths(text, tensors, where)
    if said := disagreement(text, tensors):
        raise _wrong(where, said)


def blocks_in(config: Mapping[str, Any], tensors: Facts) -> int:
    """Decoder blocks of a model: those that config.json asks for, or more where the weights hold more."""
    return max(_first(_text_part(config), _BLOCKS) or 0, len(_held_blocks(tensors)))


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Models that also see pictures keep the decoder one level down."""
    nested = config.get("text_config")
    return nested if isinstance(nested, Mapping) and nested else config


def _check_numbers(config: Mapping[str, Any], where: str) -> None:
    for name in (*_BLOCKS, *_HEADS, *_KV_HEADS, *_WIDTHS):
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            if isinstance(value, list) and name not in _BLOCKS:
                continue  # one for each block, as some architectures have it
            raise _wrong(where, f"{name} is {str(value)[:40]!r}, which is no whole number")
        if not 1 <= value <= _MOST:
            raise _wrong(where, f"{name} is {str(value)[:40]}, which no model has")


def _check_float_type(config: Mapping[str, Any], where: str) -> None:
    """One that is none would be taken for a broken tokenizer, which is the first to read the configuration."""
    for name in ("dtype", "torch_dtype"):
        value = config.get(name)
        known = isinstance(value, str) and _FLOAT_TYPE.fullmatch(value)
        if not (value is None or isinstance(value, Mapping) or known):
            raise _wrong(where, f"{name} is {str(value)[:40]!r}, which is no type of weights")


def _check_blocks(config: Mapping[str, Any], tensors: Facts, where: str) -> None:
    stated = _first(config, _BLOCKS)
    if stated is None:
        return
    if stated > MOST_BLOCKS:
        raise _wrong(where, f"it asks for {stated:,} decoder blocks; {MOST_BLOCKS:,} are the most")
    held = _held_blocks(tensors)
    if held and held != set(range(stated)):
        raise _wrong(where, f"it asks for {stated:,} decoder blocks, but the weights have {len(held):,}")


def _held_blocks(tensors: Facts) -> set[int]:
    return {int(match["block"]) for name in tensors if (match := IN_BLOCK.fullmatch(name))}


def _check_heads(config: Mapping[str, Any], where: str) -> None:
    heads, hidden, kv_heads = (_first(config, names) for names in (_HEADS, _HIDDEN, _KV_HEADS))
    if heads is None:
        return
    if hidden is not None and config.get("head_dim") is None and hidden % heads:
        raise _wrong(where, f"{heads} attention heads do not divide a hidden size of {hidden}")
    if kv_heads is not None and heads % kv_heads:
        raise _wrong(where, f"{kv_heads} key-value heads do not divide {heads} attention heads")


def _check_block_widths(config: Mapping[str, Any], where: str) -> None:
    """One entry a block, of known names alone, none wider than what stands beside them."""
    stated = config.get(BLOCK_WIDTHS)
    if stated is None:
        return
    blocks = _first(config, _BLOCKS)
    if not isinstance(stated, list) or len(stated) != blocks:
        raise _wrong(where, f"{BLOCK_WIDTHS} has no entry for each of {blocks} decoder blocks")
    for block, widths in enumerate(stated):
        if not isinstance(widths, dict) or not widths.keys() <= WIDTH_NAMES:
            raise _wrong(where, f"{BLOCK_WIDTHS} of block {block} says something else than widths")
        for name, value in widths.items():
            most = config.get(name)
            if type(value) is not int or not isinstance(most, int) or not 1 <= value <= most:
                raise _wrong(where, f"{name} of block {block} is {str(value)[:40]}, of {str(most)[:40]}")
        _check_heads({**config, **widths, "head_dim": config.get("head_dim") or 1}, where)


def _check_widths(config: Mapping[str, Any], tensors: Facts, where: str) -> None:
    widths = {width for facts in tensors.values() for width in facts.shape}
    if not widths:
        return
    for name in _MUST_EXIST:
        value = config.get(name)
        if isinstance(value, int) and value not in widths:
            raise _wrong(where, f"{name} is {value:,}, but no tensor is that wide")
    widest = max(widths)
    for name in ("intermediate_size", "ffn_dim", "n_inner"):
        value = config.get(name)
        if isinstance(value, int) and value > widest:
            raise _wrong(where, f"{name} is {value:,}, but the widest tensor has {widest:,}")
    vocabulary = config.get("vocab_size")
    for name, facts in tensors.items():
        if isinstance(vocabulary, int) and name.endswith(_EMBEDDINGS) and len(facts.shape) == 2:
            if "position" not in name and facts.shape[0] != vocabulary:
                raise _wrong(
                    where, f"its vocabulary has {vocabulary:,} tokens, but {name} {facts.shape[0]:,} rows"
                )
            return


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


def _wrong(where: str, why: str) -> NotAModel:
    return NotAModel(
        f"config.json of {where} does not fit ({why}); download it again, or choose another model."
    )
