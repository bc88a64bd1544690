"""GPT-2: its projections are Conv1D modules, which store their weights transposed."""

from apt_core.families.family import Family, Side

GPT2 = Family(
    title="GPT-2",
    model_types=("gpt2",),
    blocks="transformer.h",
    projections=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    transposed=True,
    heads={"c_proj": ("columns", "queries")},
    states_heads=False,
    coupled=(
        Side(unit="channels", rows=(("mlp.c_fc", ("channels",)),), reader="mlp.c_proj", width="n_inner"),
    ),
)
