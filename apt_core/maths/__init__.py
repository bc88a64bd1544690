"""Tensors only: never a model, never transformers, never gradio. May import `base`.

A file of this room is loaded when it is first used (`maths.alps`), and torch with it: `from apt_core import maths`
costs nothing, so that the page can read a component's options in the file that also computes.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apt_core.maths import (
        admm,
        allocation,
        alps,
        block_masks,
        block_wise,
        compensate,
        drift,
        dsnot,
        dual,
        error,
        gradual,
        hessian,
        joint,
        live_inputs,
        outliers,
        output_metric,
        pattern,
        power_law,
        precision,
        removal_sets,
        round_to_nearest,
        saliency,
        sequential,
        shares,
        swaps,
        zeros,
    )

    __all__ = [
        "admm",
        "allocation",
        "alps",
        "block_masks",
        "block_wise",
        "compensate",
        "drift",
        "dsnot",
        "dual",
        "error",
        "gradual",
        "hessian",
        "joint",
        "live_inputs",
        "outliers",
        "output_metric",
        "pattern",
        "power_law",
        "precision",
        "removal_sets",
        "round_to_nearest",
        "saliency",
        "sequential",
        "shares",
        "swaps",
        "zeros",
    ]


def __getattr__(name: str) -> ModuleType:
    """The file `name` of this room, loaded (PEP 562)."""
    full = f"{__name__}.{name}"
    try:
        return import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
