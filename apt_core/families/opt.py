"""OPT. (`project_in` and `project_out` of the 350M model stand outside the blocks.)"""

from apt_core.families.family import Family, Side

OPT = Family(
    title="OPT",
    model_types=("opt",),
    blocks="model.decoder.layers",
    projections=(
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
        "fc1",
        "fc2",
    ),
    states_heads=False,
    coupled=(Side(unit="channels", rows=(("fc1", ("channels",)),), reader="fc2", width="ffn_dim"),),
)
