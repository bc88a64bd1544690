"""A perplexity, measured once: rivals of a race read the same windows with the same dense weights.

What was measured is kept as a small JSON file of the cache folder, under a name made of everything that decides
it: the files of the model, the windows themselves (so the text, its tokenizer, their number and length), dtype,
device, library versions and protocol.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from apt_core.base import hardware
from apt_core.base.paths import cache_dir, stamps_of
from apt_core.base.values import Frozen
from apt_core.events import Evaluated, Progress, Subject
from apt_core.measure.perplexity import perplexity_events, protocol_of
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.evaluation import LastStates

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Value = TypeVar("Value", bound=Frozen)
_log = logging.getLogger(__name__)


def known_perplexity_events(
    model: PreTrainedModel,
    windows: Tensor,
    subject: Subject,
    text: str,
    folder: Path,
    store: WeightStore | None = None,
    last: LastStates | None = None,
) -> Generator[Progress, None, Evaluated]:
    """`perplexity_events` of an unchanged model, or at once what they returned before, marked as reused.

    folder: where the model was loaded from. `seconds` stay those of the measurement. last: stays empty where nothing
    is measured.
    """
    file = _file(model, windows, folder)
    if known := recall(file, Evaluated):
        return known.model_copy(update={"reused": True, "text": text, "subject": subject})
    measured = yield from perplexity_events(model, windows, subject, text, store, last)
    keep(file, measured)
    return measured


def _file(model: PreTrainedModel, windows: Tensor, folder: Path) -> Path:
    parameter = next(model.parameters())
    decisive = {
        "model": [str(Path(folder).resolve()), stamps_of(Path(folder))],
        "windows": [list(windows.shape), hashlib.sha256(bytes_of(windows)).hexdigest()],
        "dtype": str(parameter.dtype),
        "device": [parameter.device.type, hardware.hardware_name(str(parameter.device))],
        "versions": hardware.versions(),
        "protocol": protocol_of(model),
        "form": 2,  # of the file
    }
    name = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]
    return cache_dir() / "dense" / f"{name}.json"


def bytes_of(windows: Tensor) -> bytes:
    return windows.to("cpu", torch.int64).contiguous().numpy().tobytes()


def recall(file: Path, kind: type[Value]) -> Value | None:
    """None when it was never measured, and when the file cannot be read: then it is measured again."""
    try:
        return kind.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        _log.warning("%s cannot be read and is measured again: %s", file.name, error)
        return None


def keep(file: Path, measured: Frozen) -> None:
    """Whole or not at all. A full disk costs the next run a measurement, not this one its result."""
    partial = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(measured.model_dump_json(), encoding="utf-8")
        os.replace(partial, file)
    except OSError as error:
        _log.warning("What was measured could not be kept: %s", error)
        with contextlib.suppress(OSError):
            partial.unlink()
