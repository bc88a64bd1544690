"""Llama and the families that kept its seven projections."""

from apt_core.families.family import Family, Side

ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")

HEADS = Side(
    unit="heads",
    rows=(
        ("self_attn.q_proj", ("queries",)), ("self_attn.k_proj", ("keys",)), ("self_attn.v_proj", ("keys",)),
    ),
    reader="self_attn.o_proj",
    width="num_attention_heads",
)  # fmt: skip
CHANNELS = Side(
    unit="channels",
    rows=(("mlp.gate_proj", ("channels",)), ("mlp.up_proj", ("channels",))),
    reader="mlp.down_proj",
    width="intermediate_size",
)

LLAMA = Family(
    title="Llama",
    model_types=("llama", "smollm3", "mistral", "qwen2", "qwen3", "granite"),
    projections=(*ATTENTION, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    coupled=(HEADS, CHANNELS),
)
