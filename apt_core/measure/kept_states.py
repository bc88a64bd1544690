"""What leaves the dense model's last block, kept for later runs.

KL and agreement compare it with the pruned model's; where the dense perplexity is known already, it would be the only
reason to take the dense model through its windows again, and seconds before the first layer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from apt_core.base import hardware
from apt_core.base.limits import DENSE_STATES_BYTES, SHARED_BYTES
from apt_core.base.paths import cache_dir, stamps_of
from apt_core.measure.dense_cache import bytes_of

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
        """In the cache folder, for every later run of this machine. States tell what was read, so only those of texts
        and models that anybody may read belong there."""
        return cls(cache_dir() / "dense" / _STATES, model_folder, DENSE_STATES_BYTES, makes_room=True)

    def recall(self, model: PreTrainedModel, windows: Tensor) -> Tensor | None:
        """[windows, length, hidden]; None where no run has kept it, and where it cannot be read."""
        file = self._file(model, windows)
        try:
            states = load_file(file)[_STATES].clone()
        except FileNotFoundError:
            return None
        except Exception as error:  # torn, another program's, not to be read
            _log.warning("%s cannot be read and is computed again: %s", file.name, error)
            return None
        with suppress(OSError):  # another user's
            os.utime(file)
        return states

    def keep(self, model: PreTrainedModel, windows: Tensor, states: Tensor) -> None:
        """Whole or not at all; without room the next run computes it again."""
        file = self._file(model, windows)
        partial = file.with_suffix(f".{os.getpid()}.part")
        try:
            if not self._has_room(states.nbytes):
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({_STATES: states.contiguous()}, partial)
            os.replace(partial, file)
        except (OSError, SafetensorError) as error:
            _log.warning("The dense model's states could not be kept: %s", error)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def _has_room(self, needed: int) -> bool:
        """Also by deleting what was not asked for longest, and what a run that was killed left unfinished."""
        there = sorted(_files_in(self.folder), key=lambda one: one.asked_for_at)
        left = self.most - sum(one.n_bytes for one in there)
        if needed <= left or not self.makes_room or needed > self.most:
            return needed <= left
        for one in there:
            with suppress(OSError):
                one.file.unlink(missing_ok=True)
            left += one.n_bytes
            if needed <= left:
                break
        return needed <= left

    def _file(self, model: PreTrainedModel, windows: Tensor) -> Path:
        parameter = next(model.parameters())
        decisive = {
            "model": [str(self.model_folder.resolve()), stamps_of(self.model_folder)],
            "windows": [list(windows.shape), hashlib.sha256(bytes_of(windows)).hexdigest()],
            "dtype": str(parameter.dtype),
            "device": [parameter.device.type, hardware.hardware_name(str(parameter.device))],
            "versions": hardware.versions(),
        }
        name = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]
        return self.folder / f"{name}.states"


class _File(NamedTuple):
    file: Path
    n_bytes: int
    asked_for_at: float


def _files_in(folder: Path) -> Iterator[_File]:
    """Those that are still there when they are looked at: other runs delete and rename some meanwhile."""
    for file in folder.glob("*"):
        with suppress(FileNotFoundError):
            facts = file.stat()
            yield _File(file, facts.st_size, facts.st_mtime)
