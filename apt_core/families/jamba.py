"""Jamba: Mamba or attention, then one feed-forward or experts."""

from apt_core.families.family import Family
from apt_core.families.llama import ATTENTION

JAMBA = Family(
    title="Jamba",
    model_types=("jamba",),
    projections=(
        "mamba.in_proj", "mamba.x_proj", "mamba.out_proj", *ATTENTION,
        "feed_forward.experts", "feed_forward.gate_proj", "feed_forward.up_proj", "feed_forward.down_proj",
    ),
    never=("mamba.dt_proj", "feed_forward.router"),
)  # fmt: skip
