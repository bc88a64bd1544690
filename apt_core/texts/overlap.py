"""Whether an evaluation measures on text that a model was calibrated or trained on. No network."""

from __future__ import annotations

from pathlib import Path

from apt_core.base.errors import BadText
from apt_core.texts import hub
from apt_core.texts.sources import is_file

_READ_FIRST = {"calibration": "train", "evaluation": "test"}  # of a dataset's own splits, where none is named


def overlap(read: str, measured: str, together: bool = True) -> bool:
    """read: the text of a calibration or a training; measured: that of an evaluation.

    together: one job asks for both, and divides between them what both call by the same name; files are not divided.
    A dataset whose splits are not known is taken to have `train` and `test`.
    """
    if is_file(read) or is_file(measured):
        return is_file(read) and is_file(measured) and _resolved(read) == _resolved(measured)
    if not (read.startswith("hub:") and measured.startswith("hub:")):
        return False  # our own texts have a part for each
    try:
        here, there = hub.parse(read), hub.parse(measured)
    except BadText:
        return False  # whoever reads it says so
    if here[:2] != there[:2] or here.split is there.split is None:
        return False
    if here == there:
        return not together
    return (here.split or _READ_FIRST["calibration"]) == (there.split or _READ_FIRST["evaluation"])


def _resolved(name: str) -> Path:
    try:
        return Path(name).expanduser().resolve()
    except (OSError, ValueError, RuntimeError):
        return Path(name)
