"""What leaves the dense model's last block, kept for the other runs of a study.

KL and agreement compare it with the pruned model's; where the dense perplexity is known already, it would be the only
reason to take the dense model through its windows again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from apt_core.base import hardware
from apt_core.base.limits import SHARED_BYTES
from apt_core.base.paths import folder_bytes
from apt_core.measure.dense_cache import bytes_of, stamps_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_log = logging.getLogger(__name__)
_STATES = "states"


class KeptStates(NamedTuple):
    """folder: of the study. model_folder: where the model was loaded from. most: bytes that all of it may take."""

    folder: Path
    model_folder: Path
    most: int = SHARED_BYTES

    def recall(self, model: PreTrainedModel, windows: Tensor) -> Tensor | None:
        """[windows, length, hidden]; None where no run has kept it, and where it cannot be read."""
        file = self._file(model, windows)
        try:
            return load_file(file)[_STATES].clone()
        except FileNotFoundError:
            return None
        except Exception as error:  # a torn file
            _log.warning("%s cannot be read and is computed again: %s", file.name, error)
            return None

    def keep(self, model: PreTrainedModel, windows: Tensor, states: Tensor) -> None:
        """Whole or not at all; without room the next run computes it again."""
        if states.nbytes > self.most - folder_bytes(self.folder):
            return
        file = self._file(model, windows)
        partial = file.with_suffix(f".{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({_STATES: states.contiguous()}, partial)
            os.replace(partial, file)
        except OSError as error:
            _log.warning("The dense model's states could not be kept: %s", error)
            partial.unlink(missing_ok=True)

    def _file(self, model: PreTrainedModel, windows: Tensor) -> Path:
        parameter = next(model.parameters())
        decisive = {
            "model": [str(self.model_folder.resolve()), stamps_of(self.model_folder)],
            "windows": [list(windows.shape), hashlib.sha256(bytes_of(windows)).hexdigest()],
            "dtype": str(parameter.dtype),
            "device": hardware.hardware_name(parameter.device.type),
            "versions": hardware.versions(),
        }
        name = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]
        return self.folder / f"{name}.states"
