"""The sensitivity of the dense loss to each layer's outputs, measured once for all runs of a study.

It depends on the model, the windows, the precision and the method's target, not on how much is pruned or by which rule.
Kept are the condensed metrics of every block, one file each, and the costs that allocations read, in a folder whose
name is made of everything that decides them. What is read back is what was kept, bit by bit and in the same layout,
so a run gives the same weights with it and without.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from apt_core.base import hardware
from apt_core.base.limits import SHARED_BYTES
from apt_core.base.paths import folder_bytes, stamps_of
from apt_core.families import Layer
from apt_core.maths.allocation import Cost
from apt_core.measure.dense_cache import bytes_of
from apt_core.methods.component import Target
from apt_core.models.load.spread_store import SpreadStore
from apt_core.models.load.tensor_store import KeptTensors, TensorStore
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.gradients import OutputSensitivity

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FORM = 2  # of the files, and of what their costs are
_COSTS, _SAID = "costs.safetensors", "said.json"
_log = logging.getLogger(__name__)


class Known(NamedTuple):
    """What another run measured, and the seconds that it took."""

    sensitivity: OutputSensitivity
    seconds: float


class KeptSensitivity(NamedTuple):
    """folder: of the study. model_folder: where the model was loaded from. most: bytes that all of it may take."""

    folder: Path
    model_folder: Path
    most: int = SHARED_BYTES

    def recall(
        self,
        model: PreTrainedModel,
        store: WeightStore,
        layers: list[Layer],
        windows: Tensor,
        target: Target,
    ) -> Known | None:
        """None when no run has measured it yet, and when it cannot be read: then it is measured again."""
        place = self._place(model, store, layers, windows, target)
        try:
            said = json.loads((place / _SAID).read_text(encoding="utf-8"))
            logs = load_file(place / _COSTS)
        except FileNotFoundError:
            return None
        except Exception as error:  # torn JSON, a torn file of tensors
            _log.warning("%s cannot be read and is measured again: %s", place.name, error)
            return None
        device = next(model.parameters()).device
        costs = {
            (int(block), name): Cost(logs[f"{block}:{name}"].clone(), weights)
            for block, name, weights in said["costs"]
        }
        return Known(OutputSensitivity(KeptTensors(place, device), costs), float(said["seconds"]))

    def keep(
        self,
        model: PreTrainedModel,
        store: WeightStore,
        layers: list[Layer],
        windows: Tensor,
        target: Target,
        found: OutputSensitivity,
        seconds: float,
    ) -> None:
        """Whole or not at all. What takes too much room, or a full disk, costs the next run a measurement."""
        place = self._place(model, store, layers, windows, target)
        if isinstance(store, SpreadStore) or not _can_be_kept(found, self.most - folder_bytes(self.folder)):
            return
        partial = place.with_name(f"{place.name}.{os.getpid()}.part")
        try:
            partial.mkdir(parents=True)
            _write(found.metrics, found.costs, seconds, partial)
            shutil.rmtree(place, ignore_errors=True)  # torn, or it would have been read
            os.replace(partial, place)
        except (OSError, SafetensorError) as error:
            _log.warning("The gradients of the loss could not be kept: %s", error)
            shutil.rmtree(partial, ignore_errors=True)

    def _place(
        self,
        model: PreTrainedModel,
        store: WeightStore,
        layers: list[Layer],
        windows: Tensor,
        target: Target,
    ) -> Path:
        parameter = next(model.parameters())
        decisive = {
            "model": [str(self.model_folder.resolve()), stamps_of(self.model_folder)],
            "windows": [list(windows.shape), hashlib.sha256(bytes_of(windows)).hexdigest()],
            "layers": [(layer.block, layer.name) for layer in layers],
            "dtype": str(parameter.dtype),
            "device": [parameter.device.type, hardware.hardware_name(str(parameter.device))],
            "weights": type(store).__name__,
            "target": target.model_dump(mode="json"),
            "versions": hardware.versions(),
            "form": _FORM,
        }
        name = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]
        return self.folder / name


def _write(metrics: TensorStore, costs: dict[tuple[int, str], Cost], seconds: float, folder: Path) -> None:
    for index in list(metrics):
        save_file({name: one.cpu() for name, one in metrics[index].items()}, folder / f"{index}.safetensors")
    logs = {f"{block}:{name}": cost.logs.cpu() for (block, name), cost in costs.items()}
    save_file(logs, folder / _COSTS)
    weights = [(block, name, cost.weights) for (block, name), cost in costs.items()]
    said = json.dumps({"seconds": seconds, "costs": weights})
    (folder / _SAID).write_text(said, encoding="utf-8")


def _can_be_kept(found: OutputSensitivity, room: int) -> bool:
    """Whether it fits, and every tensor lies in memory as it will when it is read again."""
    taken = 0
    for tensors in (*map(found.metrics.__getitem__, list(found.metrics)), _logs(found.costs.values())):
        if not all(one.is_contiguous() for one in tensors.values()):
            return False
        taken += sum(one.nbytes for one in tensors.values())
    return taken <= room


def _logs(costs: Iterable[Cost]) -> dict[str, Tensor]:
    return {str(number): cost.logs for number, cost in enumerate(costs)}
