"""Granite 4: Mamba-2 or attention, then experts (where there are any) beside one feed-forward for all tokens."""

from apt_core.families.family import Family
from apt_core.families.llama import ATTENTION
from apt_core.families.state_space import IN_FLOAT32, mamba2_rows

GRANITE_HYBRID = Family(
    title="Granite hybrid",
    model_types=("granitemoehybrid",),
    projections=(
        "mamba.in_proj", "mamba.out_proj", *ATTENTION,
        "block_sparse_moe.experts", "shared_mlp.input_linear", "shared_mlp.output_linear",
    ),
    never=("block_sparse_moe.router",),
    fused=mamba2_rows("mamba"),
    float32=IN_FLOAT32,
    by_block=False,
    on_disk=(
        ("block_sparse_moe.input_linear", "block_sparse_moe.experts.gate_up_proj"),
        ("block_sparse_moe.output_linear", "block_sparse_moe.experts.down_proj"),
        ("block_sparse_moe.router.layer", "block_sparse_moe.router"),
    ),
)  # fmt: skip
