"""Mamba (the first) and Falcon Mamba.

`dt_proj` is pruned only when asked for: it is tiny, and its few inputs make poor statistics. transformers
multiplies with its weight without calling it.
"""

from apt_core.families.family import Family
from apt_core.families.state_space import IN_FLOAT32, mamba_rows

MAMBA = Family(
    title="Mamba",
    model_types=("mamba", "falcon_mamba"),
    blocks="backbone.layers",
    projections=("mixer.in_proj", "mixer.x_proj", "mixer.dt_proj", "mixer.out_proj"),
    optional=("mixer.dt_proj",),
    functional_weights=("mixer.dt_proj",),
    fused=mamba_rows("mixer"),
    float32=IN_FLOAT32,
)
