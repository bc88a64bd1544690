"""Mamba (the first) and Falcon Mamba.

`dt_proj` stays dense: it is tiny, its few inputs make poor statistics, and transformers multiplies with its
weight without calling it. A_log, D and conv1d are no linear maps of a token.
"""

from apt_core.families.family import Family

MAMBA = Family(
    title="Mamba",
    model_types=("mamba", "falcon_mamba"),
    blocks="backbone.layers",
    projections=("mixer.in_proj", "mixer.x_proj", "mixer.out_proj"),
    never=("mixer.dt_proj",),
)
