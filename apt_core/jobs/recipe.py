"""The names that the rest of the code still uses for a pruning job."""

from typing import Any

from apt_core.jobs import make_job, make_value
from apt_core.jobs.parts import MAX_TEXT_NAME, Calibration, Evaluation, ModelRef
from apt_core.jobs.prune import Prune as Recipe

__all__ = ["MAX_TEXT_NAME", "Calibration", "Evaluation", "ModelRef", "Recipe", "make_recipe", "make_value"]


def make_recipe(**fields: Any) -> Recipe:
    """A pruning job from plain data."""
    return make_job("prune", **fields)
