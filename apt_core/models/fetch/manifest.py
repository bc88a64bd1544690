"""The seal of a folder that we wrote: its last file, with the size of every other one.

A folder without it, or with a file that is shorter, longer, missing or (below 8 MB) altered, is not whole
and is built again. Large files are judged by their size: reading them all at every start would be felt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apt_core.models.fetch.disk import sha256_of

SEAL = ".apt-complete"
_SMALL = 8_000_000


def seal(folder: Path) -> None:
    """Write the manifest; call it when everything else is in place."""
    files = {
        file.name: _facts(file) for file in sorted(folder.iterdir()) if file.is_file() and file.name != SEAL
    }
    (folder / SEAL).write_text(json.dumps({"version": 1, "files": files}, indent=1), encoding="utf-8")


def is_whole(folder: Path) -> bool:
    """True when every sealed file is there as it was."""
    try:
        files = json.loads((folder / SEAL).read_text(encoding="utf-8"))["files"]
        return bool(files) and all(_facts(folder / name) == facts for name, facts in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # a seal or a file that cannot be read is the answer: not whole


def _facts(file: Path) -> dict[str, Any]:
    n_bytes = file.stat().st_size
    return {"size": n_bytes, "sha256": sha256_of(file) if n_bytes < _SMALL else None}
