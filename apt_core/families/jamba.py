"""Jamba: Mamba or attention, then one feed-forward or experts."""

from apt_core.families.family import Family
from apt_core.families.llama import ATTENTION
from apt_core.families.state_space import IN_FLOAT32, mamba_rows

JAMBA = Family(
    title="Jamba",
    model_types=("jamba",),
    projections=(
        "mamba.in_proj", "mamba.x_proj", "mamba.dt_proj", "mamba.out_proj", *ATTENTION,
        "feed_forward.experts", "feed_forward.gate_proj", "feed_forward.up_proj", "feed_forward.down_proj",
    ),
    optional=("mamba.dt_proj",),
    never=("feed_forward.router",),
    functional_weights=("mamba.dt_proj",),
    fused=mamba_rows("mamba"),
    float32=IN_FLOAT32,
    by_block=False,
)  # fmt: skip
