"""How much memory there is, and how much of it a new process can take. No torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from apt_core.base.cpu import GROUPS, control_groups

_NO_LIMIT = 1 << 62
_LIMIT_AND_USE = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def free_memory() -> int:
    """Bytes that a new process can take: of the machine, or of the container it runs in."""
    return min(psutil.virtual_memory().available, *_container_rooms())


def all_memory() -> int:
    """Bytes of the machine, or as many of them as the container may have."""
    return min(psutil.virtual_memory().total, *_container_limits())


def _container_rooms(root: Path = GROUPS) -> list[int]:
    """What the control groups (version 2, then 1) still allow; a huge number where there is no limit."""
    rooms = [_NO_LIMIT]
    for group in control_groups(root):
        for limit, used in _LIMIT_AND_USE:
            try:
                rooms.append(_number(group / limit) - _number(group / used) + _reclaimable(group))
            except (OSError, ValueError):
                continue  # no such file, or "max": no limit from this version
    return rooms


def _container_limits(root: Path = GROUPS) -> list[int]:
    """What the control groups allow in all."""
    limits = [_NO_LIMIT]
    for group in control_groups(root):
        for limit, _ in _LIMIT_AND_USE:
            with suppress(OSError, ValueError):
                limits.append(_number(group / limit))
    return limits


def _number(file: Path) -> int:
    return int(file.read_text())


def _reclaimable(root: Path) -> int:
    """File cache that counts as used but is given back when memory gets short."""
    for name in ("memory.stat", "memory/memory.stat"):
        if (root / name).is_file():
            lines = (line.split() for line in (root / name).read_text().splitlines())
            return next(
                (int(value) for key, value in lines if key in {"inactive_file", "total_inactive_file"}), 0
            )
    return 0
