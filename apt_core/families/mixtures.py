"""Mixtures of experts after a Llama's attention. A router decides which weights are used: it stays dense."""

from apt_core.families.family import Family
from apt_core.families.llama import ATTENTION

MIXTRAL = Family(
    title="Mixtral, OLMoE, Qwen3-MoE",
    model_types=("mixtral", "olmoe", "qwen3_moe"),
    projections=(*ATTENTION, "mlp.experts", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    never=("mlp.gate",),
    by_block=False,
    on_disk=(("block_sparse_moe.", "mlp."),),
)

QWEN2_MOE = Family(
    title="Qwen2-MoE",
    model_types=("qwen2_moe",),
    projections=(
        *ATTENTION, "mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj", "mlp.shared_expert.down_proj",
        "mlp.experts", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    ),
    never=("mlp.gate", "mlp.shared_expert_gate"),
    by_block=False,
)  # fmt: skip
