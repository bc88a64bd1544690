"""The files of a run's folder that hold its state for resuming. No torch."""

from __future__ import annotations

PRUNING = "pruning"  # a folder; `pruning_state`
TRAINING = "training"  # a folder; `training_state`
KEPT_BY_PRUNING = f"{PRUNING}/states.safetensors"
KEPT_BY_TRAINING = f"{TRAINING}/state.safetensors"
