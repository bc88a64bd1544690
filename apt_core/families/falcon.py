"""Falcon: its linear layers are a subclass of nn.Linear."""

from apt_core.families.family import Family, Side

FALCON = Family(
    title="Falcon",
    model_types=("falcon",),
    blocks="transformer.h",
    projections=(
        "self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"
    ),
    states_heads=False,
    coupled=(
        Side(
            unit="channels",
            rows=(("mlp.dense_h_to_4h", ("channels",)),),
            reader="mlp.dense_4h_to_h",
            width="ffn_hidden_size",
        ),
    ),
)  # fmt: skip
