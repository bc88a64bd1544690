"""What the two kinds of state space mixers share, wherever a family keeps them.

`A_log`, `D` and `dt_bias` set how fast a state decays: rounding A_log to bfloat16 moves a decay rate by up to
half a percent at every step, so they stay in float32 whatever a run computes in. Neither they nor conv1d are
linear maps of a token.
"""

from apt_core.families.family import Fused

IN_FLOAT32 = ("A_log", "D", "dt_bias")
_INNER, _GROUPS = ("intermediate_size",), ("n_groups", "ssm_state_size")


def mamba_rows(mixer: str) -> tuple[Fused, ...]:
    """The projections of a first Mamba: one for the states and the gate, one for the time step, B and C."""
    return (
        Fused(layer=f"{mixer}.in_proj", parts=(("x", _INNER), ("z", _INNER))),
        Fused(
            layer=f"{mixer}.x_proj",
            parts=(("dt", ("time_step_rank",)), ("B", ("ssm_state_size",)), ("C", ("ssm_state_size",))),
        ),
    )


def mamba2_rows(mixer: str) -> tuple[Fused, ...]:
    """The one projection in of a Mamba-2: the gate, the states, B, C and the time steps."""
    parts = (("z", _INNER), ("x", _INNER), ("B", _GROUPS), ("C", _GROUPS), ("dt", ("num_heads",)))
    return (Fused(layer=f"{mixer}.in_proj", parts=parts),)
