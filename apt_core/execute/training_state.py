"""The state of an unfinished training or search, from which another run can resume: one safetensors file.

Trained numbers and the optimiser's moments, or the population's sets, are its tensors; the step, the curve so far and
what was asked for are JSON in its header. Written whole or not at all.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

from apt_core.base.errors import BadInput
from apt_core.base.values import Frozen
from apt_core.events import Trained
from apt_core.execute import kept_tensors
from apt_core.execute.kept import KEPT_BY_TRAINING, TRAINING

_FILE = Path(KEPT_BY_TRAINING).name
CANNOT_BE_KEPT = "How far this came cannot be kept, so once stopped it would have to begin again"
State = TypeVar("State", bound=Frozen)


class TrainingState(Frozen):
    """asked: what the training was asked for, as far as another one must be asked the same to go on."""

    asked: str
    step: int
    seconds: float
    warm_up: int = 0  # steps, of the longest plan so far
    curve: tuple[Trained, ...] = ()
    losses: tuple[float, ...] = ()  # of the steps since the last point of the curve


def keep(folder: Path, state: Frozen, tensors: dict[str, Tensor]) -> None:
    """folder: of the run. An earlier state stays until this one is whole; an OSError leaves it."""
    said = {"format": "pt", "state": state.model_dump_json()}
    kept_tensors.write(tensors, folder / KEPT_BY_TRAINING, said)


def is_kept(folder: Path) -> bool:
    """folder: of the run. A run that was killed while it kept its first state has the folder and nothing in it."""
    return (folder / KEPT_BY_TRAINING).is_file()


def recall(folder: Path, kind: type[State]) -> tuple[State, dict[str, Tensor]]:
    """folder: what `RunReader.training_of` gives. Raises BadInput with one sentence where it cannot be read."""
    try:
        with safe_open(folder / _FILE, framework="pt") as stored:
            state = kind.model_validate_json(stored.metadata()["state"])
            return state, {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadInput(
            "What that run had kept to go on from cannot be read; start it again from the beginning."
        ) from error


def forget(folder: Path) -> None:
    """Remove what was kept, once the run has made its weights."""
    shutil.rmtree(folder / TRAINING, ignore_errors=True)
