"""Make the bundled tiny random Llama: two blocks, 64 wide, a byte tokenizer.

    python -m assets.make.make_tiny [FOLDER]

The weights come from a seeded generator of numpy, so the same folder comes out on every machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from apt_core.models.catalogue.entries import CATALOGUE, FALLBACK_MODEL
from apt_core.models.catalogue.shape import LlamaShape

SEED = 20241015
BYTES_AND_MARKS = 258  # tokens of the byte tokenizer
_BEGIN, _END = "<|begin|>", "<|end|>"


def make(folder: Path, shape: LlamaShape = CATALOGUE[FALLBACK_MODEL].shape, seed: int = SEED) -> Path:
    """Write config.json, model.safetensors (float32) and the tokenizer into `folder`."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        _weights(shape, np.random.default_rng(seed)), folder / "model.safetensors", metadata={"format": "pt"}
    )
    write_json(folder / "config.json", config_of(shape))
    write_tokenizer(folder, shape.context)
    return folder


def write_tokenizer(folder: Path, context: int) -> None:
    """The byte tokenizer and what generation reads, for a model that looks back `context` tokens at most."""
    write_json(
        folder / "generation_config.json", {"bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257}
    )
    write_json(folder / "tokenizer.json", _tokenizer())
    write_json(folder / "tokenizer_config.json", _tokenizer_config(context))


def _weights(shape: LlamaShape, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Linear layers of variance 1 / inputs, so that signals keep their size from block to block."""

    def normal(rows: int, columns: int, deviation: float) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * deviation).astype(np.float32)

    weights = {"model.embed_tokens.weight": normal(shape.vocab, shape.hidden, 0.1)}
    for block in range(shape.blocks):
        prefix = f"model.layers.{block}"
        for layer in shape.layers:
            deviation = layer.in_features**-0.5
            weights[f"{prefix}.{layer.name}.weight"] = normal(
                layer.out_features, layer.in_features, deviation
            )
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{prefix}.{norm}.weight"] = np.ones(shape.hidden, np.float32)
    weights["model.norm.weight"] = np.ones(shape.hidden, np.float32)
    return weights


def config_of(shape: LlamaShape) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.blocks,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.context,
        "tie_word_embeddings": shape.tied,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "bos_token_id": 256,
        "eos_token_id": 257,
        "pad_token_id": 257,
        "dtype": "float32",
    }


def _tokenizer() -> dict:
    """One token per byte (no merges), then begin and end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([_BEGIN, _END])
    return json.loads(tokenizer.to_str())


def _tokenizer_config(context: int) -> dict:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _BEGIN,
        "eos_token": _END,
        "pad_token": _END,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }


def write_json(file: Path, value: dict) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    destination = Path(sys.argv[1]) if len(sys.argv) > 1 else CATALOGUE[FALLBACK_MODEL].folder
    print(make(destination))
