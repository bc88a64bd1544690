"""Mamba-2: one projection in (z, x, B, C and the time steps), one out."""

from apt_core.families.family import Family
from apt_core.families.state_space import IN_FLOAT32, mamba2_rows

MAMBA2 = Family(
    title="Mamba-2",
    model_types=("mamba2",),
    blocks="backbone.layers",
    projections=("mixer.in_proj", "mixer.out_proj"),
    fused=mamba2_rows("mixer"),
    float32=IN_FLOAT32,
)
