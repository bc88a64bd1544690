"""GPT-NeoX and Pythia."""

from apt_core.families.family import Family, Side

GPT_NEOX = Family(
    title="GPT-NeoX, Pythia",
    model_types=("gpt_neox",),
    blocks="gpt_neox.layers",
    by_block=False,
    projections=("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    states_heads=False,
    coupled=(
        Side(
            unit="channels",
            rows=(("mlp.dense_h_to_4h", ("channels",)),),
            reader="mlp.dense_4h_to_h",
            width="intermediate_size",
        ),
    ),
)
