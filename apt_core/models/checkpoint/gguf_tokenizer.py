"""The tokenizer of a checkpoint as GGUF states it: tokens and their types, merges or scores, special ids, template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 3, 4, 5, 6
_SPECIAL = ("bos", "eos", "pad", "unk")


class Vocabulary(NamedTuple):
    """tokens: by id; `byte_level`: of GPT-2's kind with merges, otherwise of SentencePiece's with scores."""

    tokens: dict[int, str]
    types: dict[int, int]
    merges: tuple[str, ...]
    byte_level: bool
    split: str  # how llama.cpp calls the rule that cuts text before the merges
    special: dict[str, int]
    adds_bos: bool
    chat_template: str


def read(folder: Path) -> Vocabulary:
    """Raises BadInput with one sentence for a tokenizer that GGUF cannot state."""
    stored, config = _json(folder / "tokenizer.json"), _json(folder / "tokenizer_config.json")
    model = stored.get("model", {})
    if model.get("type") != "BPE":
        raise BadInput("The tokenizer of this model is no BPE, which a GGUF needs here; use --folder.")
    byte_level = not model.get("byte_fallback", False)
    tokens = {number: token for token, number in model["vocab"].items()}
    types = {
        number: _BYTE if not byte_level and _is_byte(token) else _NORMAL for number, token in tokens.items()
    }
    for added in stored.get("added_tokens", ()):
        tokens[added["id"]] = added["content"]
        types[added["id"]] = _CONTROL if added.get("special") else _USER_DEFINED
    merges = tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges", ()))
    numbers = {token: number for number, token in tokens.items()}
    named = {name: _content(config.get(f"{name}_token")) for name in _SPECIAL}
    special = {name: numbers[token] for name, token in named.items() if token in numbers}
    return Vocabulary(
        *(tokens, types, merges, byte_level, _split(stored)),
        *(special, _adds_bos(stored, config, named["bos"]), _template(folder, config)),
    )


def describe(writer: Any, folder: Path, size: int, model_type: str) -> None:
    """size: how many rows the embedding has; ids without a token are padding."""
    words = read(folder)
    if max(words.tokens, default=0) >= size:
        raise BadInput(
            "The tokenizer of this model knows more tokens than its embedding has rows; use --folder."
        )
    names = [words.tokens.get(number, f"[PAD{number}]") for number in range(size)]
    writer.add_tokenizer_model("gpt2" if words.byte_level else "llama")
    writer.add_tokenizer_pre(_pre(words, model_type))
    writer.add_token_list(names)
    writer.add_token_types([words.types.get(number, _UNUSED) for number in range(size)])
    if words.byte_level and words.merges:
        writer.add_token_merges(list(words.merges))
    else:  # SentencePiece; or bytes alone, whose empty list of merges cannot be written
        writer.add_token_scores([-float(number) for number in range(size)])
    ids = {"bos": writer.add_bos_token_id, "eos": writer.add_eos_token_id}
    ids |= {"pad": writer.add_pad_token_id, "unk": writer.add_unk_token_id}
    for name, number in words.special.items():
        ids[name](number)
    writer.add_add_bos_token(words.adds_bos)
    if not words.byte_level and model_type.startswith("gemma"):
        writer.add_add_space_prefix(False)
    if words.chat_template:
        writer.add_chat_template(words.chat_template)


def _pre(words: Vocabulary, model_type: str) -> str:
    if not words.byte_level:
        return "default"
    return "qwen2" if model_type.startswith("qwen") else words.split


def _split(stored: dict[str, Any]) -> str:
    """By what the tokenizer does before its merges."""
    steps = json.dumps(stored.get("pre_tokenizer") or {})
    if "{1,3}" in steps:
        return "llama-bpe"
    return "smollm" if '"Digits"' in steps else "gpt-2"


def _adds_bos(stored: dict[str, Any], config: dict[str, Any], bos: str) -> bool:
    if "add_bos_token" in config:
        return bool(config["add_bos_token"])
    return bool(bos) and bos in json.dumps(stored.get("post_processor") or {}, ensure_ascii=False)


def _template(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    stated = config.get("chat_template")
    return stated if isinstance(stated, str) else ""


def _content(token: Any) -> str:
    """'<eos>', which is also written as {"content": "<eos>", ...}."""
    return str(token.get("content", "") if isinstance(token, dict) else token or "")


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _json(file: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file.name} cannot be read, which a GGUF needs; use --folder.") from error
    return parsed if isinstance(parsed, dict) else {}
