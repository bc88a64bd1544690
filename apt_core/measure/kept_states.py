"""What leaves the dense model's last block, kept for later runs.

KL and agreement compare it with the pruned model's; where the dense perplexity is known already, it would be the only
reason to take the dense model through its windows again, and seconds before the first layer.
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
from apt_core.base.limits import DENSE_STATES_BYTES, SHARED_BYTES
from apt_core.base.paths import cache_dir, folder_bytes
from apt_core.measure.dense_cache import bytes_of, stamps_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_log = logging.getLogger(__name__)
_STATES = "states"


class KeptStates(NamedTuple):
    """folder: where they are kept. model_folder: where the model was loaded from. most: bytes that all of it may take.
    makes_room: whether those that were not asked for longest go, rather than the new ones not being kept.
    """

    folder: Path
    model_folder: Path
    most: int = SHARED_BYTES
    makes_room: bool = False

    @classmethod
    def of_everybody(cls, model_folder: Path) -> KeptStates:
        """In the cache folder, for every later run of this machine: of texts that anybody can read. States tell what
        was read, so those of somebody's file do not belong there."""
        return cls(cache_dir() / "dense" / _STATES, model_folder, DENSE_STATES_BYTES, makes_room=True)

    def recall(self, model: PreTrainedModel, windows: Tensor) -> Tensor | None:
        """[windows, length, hidden]; None where no run has kept it, and where it cannot be read."""
        file = self._file(model, windows)
        try:
            states = load_file(file)[_STATES].clone()
            os.utime(file)
            return states
        except FileNotFoundError:
            return None
        except Exception as error:  # a torn file
            _log.warning("%s cannot be read and is computed again: %s", file.name, error)
            return None

    def keep(self, model: PreTrainedModel, windows: Tensor, states: Tensor) -> None:
        """Whole or not at all; without room the next run computes it again."""
        if not self._has_room(states.nbytes):
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

    def _has_room(self, needed: int) -> bool:
        left = self.most - folder_bytes(self.folder)
        if needed > left and self.makes_room and needed <= self.most:
            for file in sorted(self.folder.glob("*.states"), key=lambda file: file.stat().st_mtime):
                left += file.stat().st_size
                file.unlink(missing_ok=True)
                if needed <= left:
                    break
        return needed <= left

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
