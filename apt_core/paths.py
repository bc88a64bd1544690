"""Where things lie on disk. `APT_CACHE` moves everything, `APT_DATA` moves the runs alone."""

from __future__ import annotations

import os
from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"


def cache_dir() -> Path:
    """Downloaded and converted models and texts: safe to delete, they come again."""
    if set_by_user := os.environ.get("APT_CACHE"):
        return Path(set_by_user).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "apt-studio"


def data_dir() -> Path:
    """Runs: recipes, logs, pruned weights. Not a cache."""
    if set_by_user := os.environ.get("APT_DATA"):
        return Path(set_by_user).expanduser().resolve()
    if os.environ.get("APT_CACHE"):
        return cache_dir() / "data"
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "apt-studio"


def is_public_host() -> bool:
    """True on Hugging Face Spaces (or when APT_PUBLIC=1): no local folders, no user paths."""
    return os.environ.get("APT_PUBLIC") == "1" or os.environ.get("SYSTEM") == "spaces"
