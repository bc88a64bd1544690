"""Phi-3: q, k and v in one matrix, gate and up in another; rows are rows, so nothing else changes."""

from apt_core.families.family import Family, Side

PHI3 = Family(
    title="Phi-3",
    model_types=("phi3",),
    projections=("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"),
    coupled=(
        Side(
            unit="heads",
            rows=(("self_attn.qkv_proj", ("queries", "keys", "keys")),),
            reader="self_attn.o_proj",
            width="num_attention_heads",
        ),
        Side(
            unit="channels",
            rows=(("mlp.gate_up_proj", ("channels", "channels")),),
            reader="mlp.down_proj",
            width="intermediate_size",
        ),
    ),
)
