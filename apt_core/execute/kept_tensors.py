"""Writing what a run keeps: a file of tensors appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def write(tensors: Mapping[str, Tensor], file: Path, said: dict[str, str] | None = None) -> None:
    """An earlier file stays until this one is whole. Raises OSError, as of a full disk, and leaves it.

    said: goes into the header.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, said
        )
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, file)
    except SafetensorError as error:  # which says what the system said, in words
        _remove(partial)
        raise OSError(str(error)) from error
    except BaseException:
        _remove(partial)
        raise


def _remove(partial: Path) -> None:
    with contextlib.suppress(OSError):
        partial.unlink()
