"""A full disk is the same thing to everybody who writes."""

from __future__ import annotations

from pathlib import Path

import pytest

import apt_core
from apt_core.base.errors import DISK_FULL_ERRNOS, DiskFull
from apt_core.base.out_of_room import is_disk_full
from apt_core.models.fetch import disk


@pytest.mark.parametrize("number", sorted(DISK_FULL_ERRNOS))
def test_every_kind_of_full_is_known_to_models_and_runs(tmp_path, number):
    error = OSError(number, "no room")
    assert disk.is_full(error) and is_disk_full(error)
    with pytest.raises(DiskFull, match="free some space"), disk.writing(tmp_path):
        raise error


def test_what_full_means_is_written_down_once():
    sources = Path(apt_core.__file__).parent.rglob("*.py")
    assert [file.name for file in sources if "ENOSPC" in file.read_text()] == ["errors.py"]
