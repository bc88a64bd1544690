"""How much disk the pruned weights of finished runs may take; the records themselves always stay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from apt_core.base.errors import BadInput
from apt_core.base.paths import folder_bytes

DEFAULT_KEEP_GB = 20.0


def keep_bytes() -> int:
    """`APT_KEEP_GB` (10^9 bytes each) in bytes; raises BadInput when it is not a number above 0."""
    text = os.environ.get("APT_KEEP_GB", "")
    try:
        gigabytes = float(text) if text else DEFAULT_KEEP_GB
        if not gigabytes > 0:
            raise ValueError(text)
        return int(gigabytes * 1e9)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"APT_KEEP_GB is {text!r}; give a number of gigabytes above 0, such as 20.") from error


def over_cap(checkpoints: Iterable[Path], cap: int) -> list[Path]:
    """The checkpoints (given newest first) that must go so that the rest fit into `cap` bytes.

    The newest always stays, even when it alone is larger than the cap.
    """
    used = 0
    too_many = []
    for place, checkpoint in enumerate(checkpoints):
        size = folder_bytes(checkpoint)
        if place > 0 and used + size > cap:
            too_many.append(checkpoint)
        else:
            used += size
    return too_many


def remove_checkpoints(folder: Path) -> None:
    """Every whole or half-written checkpoint of a run folder."""
    for path in folder.glob("*checkpoint*"):
        shutil.rmtree(path, ignore_errors=True)  # another process may be removing it as well
