"""Bamba: Mamba-2 or attention, then one feed-forward."""

from apt_core.families.family import Family
from apt_core.families.llama import ATTENTION
from apt_core.families.state_space import IN_FLOAT32, mamba2_rows

BAMBA = Family(
    title="Bamba",
    model_types=("bamba",),
    projections=(
        "mamba.in_proj", "mamba.out_proj", *ATTENTION,
        "feed_forward.gate_proj", "feed_forward.up_proj", "feed_forward.down_proj",
    ),
    fused=mamba2_rows("mamba"),
    float32=IN_FLOAT32,
)  # fmt: skip
