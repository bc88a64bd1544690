"""Mamba-2: one projection in (z, x, B, C and the time steps), one out."""

from apt_core.families.family import Family

MAMBA2 = Family(
    title="Mamba-2",
    model_types=("mamba2",),
    blocks="backbone.layers",
    projections=("mixer.in_proj", "mixer.out_proj"),
)
