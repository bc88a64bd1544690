"""Nemotron-H: every block is one mixer: Mamba-2, attention, a feed-forward or experts."""

from apt_core.families.family import Family
from apt_core.families.state_space import IN_FLOAT32, mamba2_rows

NEMOTRON_H = Family(
    title="Nemotron-H",
    model_types=("nemotron_h",),
    projections=(
        "mixer.in_proj", "mixer.out_proj", "mixer.q_proj", "mixer.k_proj", "mixer.v_proj", "mixer.o_proj",
        "mixer.fc1_latent_proj", "mixer.experts", "mixer.fc2_latent_proj",
        "mixer.shared_experts.up_proj", "mixer.shared_experts.down_proj", "mixer.up_proj", "mixer.down_proj",
    ),
    never=("mixer.gate",),
    attention=("mixer.[qkvo]_proj",),
    fused=mamba2_rows("mixer"),
    float32=IN_FLOAT32,
    by_block=False,
)  # fmt: skip
