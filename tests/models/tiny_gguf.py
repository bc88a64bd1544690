"""The tiny random Llama as a quantised GGUF file inside a wheel, as the real one comes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants
from safetensors.numpy import load_file

from apt_core.models.catalogue.entries import CATALOGUE

MEMBER = "tiny/tiny.gguf"
ENTRY = CATALOGUE["tiny-random-llama"]
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_wheel(path: Path, template: str = "{{ messages[0]['content'] }}") -> Path:
    """A wheel whose member is the tiny model."""
    file = write_gguf(path.with_suffix(".gguf"), template)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.write(file, MEMBER)
    file.unlink()
    return path


def write_gguf(
    file: Path, template: str = "{{ messages[0]['content'] }}", architecture: str = "llama"
) -> Path:
    """The tiny model: Q8_0 where the width allows it, float32 elsewhere."""
    writer = GGUFWriter(file, architecture)
    _describe(writer, template)
    for name, tensor in load_file(ENTRY.folder / "model.safetensors").items():
        if tensor.ndim == 2 and tensor.shape[1] % 32 == 0:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(
                _gguf_name(name), quants.quantize(_permuted(name, tensor), kind), raw_dtype=kind
            )
        else:
            writer.add_tensor(_gguf_name(name), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _describe(writer: GGUFWriter, template: str) -> None:
    shape = ENTRY.shape
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.mlp)
    writer.add_block_count(shape.blocks)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab)
    writer.add_tokenizer_model("gpt2")
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer.add_token_list([*letters[:-1], "th", "<|begin|>", "<|end|>"])
    writer.add_token_types([1] * 256 + [3, 3])
    writer.add_token_merges(["t h"])  # one, because an empty list cannot be written
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_chat_template(template)


def _gguf_name(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    block, layer = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    return f"blk.{block}.{_NAMES[layer]}.weight"


def _permuted(name: str, weight: np.ndarray) -> np.ndarray:
    """GGUF keeps the rows of q and k in another order for its rotary embedding."""
    heads = {"q_proj": ENTRY.shape.heads, "k_proj": ENTRY.shape.kv_heads}.get(name.split(".")[-2])
    if heads is None:
        return weight
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(weight.shape))
