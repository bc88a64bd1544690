"""Bamba: Mamba-2 or attention, then one feed-forward."""

from apt_core.families.family import Family
from apt_core.families.llama import ATTENTION

BAMBA = Family(
    title="Bamba",
    model_types=("bamba",),
    projections=(
        "mamba.in_proj", "mamba.out_proj", *ATTENTION,
        "feed_forward.gate_proj", "feed_forward.up_proj", "feed_forward.down_proj",
    ),
)  # fmt: skip
