"""Where things lie on disk. `APT_CACHE` moves everything, `APT_DATA` moves the runs alone; `APT_TASKS` adds tasks."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED, _IN_REPOSITORY = _PACKAGE / "assets", _PACKAGE.parent / "assets"
_DECISIVE = ("*.safetensors", "config.json")
ASSETS = _INSTALLED if _INSTALLED.is_dir() else _IN_REPOSITORY  # setup.py installs the second as the first
DOCS = next(
    (place for place in (_PACKAGE / "docs", _PACKAGE.parent / "docs") if place.is_dir()), _PACKAGE / "docs"
)


def cache_dir() -> Path:
    """Downloaded and converted models and texts: safe to delete, they come again."""
    if set_by_user := os.environ.get("APT_CACHE"):
        return Path(set_by_user).expanduser().resolve()
    return _base("XDG_CACHE_HOME", ".cache") / "apt-studio"


def data_dir() -> Path:
    """Runs: jobs, logs, pruned weights. Not a cache."""
    if set_by_user := os.environ.get("APT_DATA"):
        return Path(set_by_user).expanduser().resolve()
    if os.environ.get("APT_CACHE"):
        return cache_dir() / "data"
    return _base("XDG_DATA_HOME", ".local/share") / "apt-studio"


def index_dir(data: Path) -> Path:
    """Where the index of the runs in `data` is: there, or in APT_INDEX, for a data folder that is on a network.

    SQLite wants a disk of this machine. The index is made anew from the folders where it is missing.
    """
    set_by_user = os.environ.get("APT_INDEX")
    return Path(set_by_user).expanduser().resolve() if set_by_user and data == data_dir() else data


def tasks_dir() -> str | None:
    """The folder of the user's own zero-shot tasks (YAML files of lm-evaluation-harness), None without one.

    Such a file can name Python code that runs: only whoever starts the app says where they are, never a job.
    """
    set_by_user = os.environ.get("APT_TASKS")
    return str(Path(set_by_user).expanduser().resolve()) if set_by_user else None


def absolute_environment() -> dict[str, str]:
    """APT_CACHE, APT_DATA, APT_INDEX and APT_TASKS, where they are set, for a process that works in another folder."""
    meant = {
        "APT_CACHE": cache_dir,
        "APT_DATA": data_dir,
        "APT_INDEX": lambda: index_dir(data_dir()),
        "APT_TASKS": tasks_dir,
    }
    return {name: str(folder()) for name, folder in meant.items() if os.environ.get(name)}


def _base(variable: str, below_home: str) -> Path:
    """The folder of an XDG variable; a relative one is to be ignored (XDG Base Directory Specification)."""
    named = Path(os.environ.get(variable, ""))
    return (named if named.is_absolute() else Path.home() / below_home).resolve()


def folder_bytes(folder: Path) -> int:
    """Of all files below; 0 where there is no such folder. What is removed meanwhile does not count."""
    return sum(_file_bytes(Path(place, name)) for place, _, names in os.walk(folder) for name in names)


def _file_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def stamps_of(folder: Path) -> list[tuple[str, int, int]]:
    """(name, size, time of the last change) of the files of a model that decide what it says."""
    files = sorted(path for pattern in _DECISIVE for path in folder.glob(pattern))
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
