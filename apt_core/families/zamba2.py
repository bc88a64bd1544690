"""Zamba2: Mamba-2, and now and then a transformer whose weights many blocks share.

A shared projection is pruned once, in the first block that uses it, with the inputs of all its uses
(`apt_core.passes.shared_weights`); the sensitivity of the loss is measured at the first use alone. The adapters, which
tell one use from another, are small and stay dense.
"""

from apt_core.families.family import Family
from apt_core.families.state_space import IN_FLOAT32, mamba2_rows

_SHARED = "shared_transformer"

ZAMBA2 = Family(
    title="Zamba2",
    model_types=("zamba2",),
    projections=(
        *(f"{_SHARED}.self_attn.{name}_proj" for name in "qkvo"),
        f"{_SHARED}.feed_forward.gate_up_proj", f"{_SHARED}.feed_forward.down_proj", "linear",
        "mamba_decoder.mamba.in_proj", "mamba_decoder.mamba.out_proj", "mamba.in_proj", "mamba.out_proj",
    ),
    never=("*_adapter_list.*",),
    fused=(*mamba2_rows("mamba_decoder.mamba"), *mamba2_rows("mamba")),
    float32=IN_FLOAT32,
    by_block=False,
)  # fmt: skip
