"""The importance of coupled groups by all rules of LLM-Pruner, written anew in float64 numpy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from apt_core import families
from apt_core.execute.shrink_widths import group_importance
from apt_core.families import structures_of
from apt_core.maths.group_importance import WeightGradients

SHAPES = {
    **{"self_attn.q_proj": (12, 8), "self_attn.k_proj": (6, 8), "self_attn.v_proj": (6, 8)},
    **{"self_attn.o_proj": (8, 12)},
    **{"mlp.gate_proj": (5, 8), "mlp.up_proj": (5, 8), "mlp.down_proj": (8, 5)},
}
CONFIG = {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # heads of three, two for each of keys and values
RULES = {
    "l1": lambda w, g, f: np.abs(w),
    "l2": lambda w, g, f: w**2,
    "vectorize": lambda w, g, f: w * g,
    "param_first": lambda w, g, f: np.abs(w * g),
    "param_second": lambda w, g, f: np.abs(w * f * w),
    "param_mix": lambda w, g, f: np.abs(w * g - 0.5 * w * f * w),
}
HEADS = {  # layer -> (axis along which a group lies, places of the second of the two groups)
    **{"self_attn.q_proj": (0, range(6, 12)), "self_attn.k_proj": (0, range(3, 6))},
    **{"self_attn.v_proj": (0, range(3, 6)), "self_attn.o_proj": (1, range(6, 12))},
}
CHANNELS = {"mlp.gate_proj": (0, [3]), "mlp.up_proj": (0, [3]), "mlp.down_proj": (1, [3])}


@pytest.fixture(scope="module")
def tensors():
    """Layer -> (weight, gradients of four windows)."""
    drawn = np.random.default_rng(0)
    return {
        name: (drawn.normal(size=shape), drawn.normal(size=(4, *shape))) for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize(("unit", "group", "members"), [("heads", 1, HEADS), ("channels", 3, CHANNELS)])
def test_a_group_counts_the_rows_and_columns_of_its_members(tensors, rule, unit, group, members):
    structures = {one.unit: one for one in structures_of(families.FAMILIES["llama"], SHAPES, CONFIG)}
    layers = {
        name: SimpleNamespace(matrix=torch.tensor(weight, dtype=torch.float32))
        for name, (weight, _) in tensors.items()
    }
    gradients = {
        name: WeightGradients(
            torch.tensor(each.mean(0), dtype=torch.float32),
            torch.tensor((each**2).mean(0), dtype=torch.float32),
        )
        for name, (_, each) in tensors.items()
    }
    wanted = 0.0
    for name, (axis, places) in members.items():
        weight, each = tensors[name]
        scores = RULES[rule](weight, each.mean(0), (each**2).mean(0)).sum(1 - axis)
        wanted += (np.abs(scores) if rule == "vectorize" else scores)[list(places)].sum()
    found = group_importance(structures[unit], layers, gradients, rule)
    assert found.shape == ({"heads": 2, "channels": 5}[unit],)
    assert float(found[group]) == pytest.approx(wanted, rel=1e-5)
