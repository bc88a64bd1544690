"""Llama and everyone who kept its seven projections."""

from apt_core.families.family import Family

ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")

LLAMA = Family(
    title="Llama",
    model_types=("llama", "smollm3", "mistral", "qwen2", "qwen3", "olmo2", "granite"),
    projections=(*ATTENTION, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
)
