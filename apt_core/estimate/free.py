"""How much memory a new process can take. No torch."""

from __future__ import annotations

from pathlib import Path

import psutil


def free_memory() -> int:
    """Bytes that a new process can take: of the machine, or of the container it runs in."""
    return min(psutil.virtual_memory().available, *_container_rooms())


def _container_rooms(root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What the control group (version 2, then 1) still allows; a huge number where there is no limit."""
    rooms = [1 << 62]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            rooms.append(
                int((root / limit).read_text()) - int((root / used).read_text()) + _reclaimable(root)
            )
        except (OSError, ValueError):
            continue  # no such file, or "max": no limit from this version
    return rooms


def _reclaimable(root: Path) -> int:
    """File cache that counts as used but is given back when memory gets short."""
    for name in ("memory.stat", "memory/memory.stat"):
        if (root / name).is_file():
            lines = (line.split() for line in (root / name).read_text().splitlines())
            return next(
                (int(value) for key, value in lines if key in {"inactive_file", "total_inactive_file"}), 0
            )
    return 0
