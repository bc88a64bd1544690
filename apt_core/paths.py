"""Where things lie on disk. `APT_CACHE` moves everything, `APT_DATA` moves the runs alone."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"


def cache_dir() -> Path:
    """Downloaded and converted models and texts: safe to delete, they come again."""
    if set_by_user := os.environ.get("APT_CACHE"):
        return Path(set_by_user).expanduser().resolve()
    return _base("XDG_CACHE_HOME", ".cache") / "apt-studio"


def data_dir() -> Path:
    """Runs: recipes, logs, pruned weights. Not a cache."""
    if set_by_user := os.environ.get("APT_DATA"):
        return Path(set_by_user).expanduser().resolve()
    if os.environ.get("APT_CACHE"):
        return cache_dir() / "data"
    return _base("XDG_DATA_HOME", ".local/share") / "apt-studio"


def absolute_environment() -> dict[str, str]:
    """APT_CACHE and APT_DATA, where they are set, for a process that works in another folder."""
    meant = {"APT_CACHE": cache_dir, "APT_DATA": data_dir}
    return {name: str(folder()) for name, folder in meant.items() if os.environ.get(name)}


def is_public_host() -> bool:
    """True where other people use the page: no local folders, no user paths.

    On Hugging Face Spaces, when APT_PUBLIC=1, and when GRADIO_SERVER_NAME lets other machines in (unless
    APT_PUBLIC=0).
    """
    told = os.environ.get("APT_PUBLIC")
    if told == "1" or os.environ.get("SYSTEM") == "spaces":
        return True
    return told != "0" and not _is_this_machine(os.environ.get("GRADIO_SERVER_NAME") or "localhost")


def _is_this_machine(address: str) -> bool:
    """Whether a server bound to this address hears this machine only; a name is taken to be known outside."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def _base(variable: str, below_home: str) -> Path:
    """The folder of an XDG variable; a relative one is to be ignored (XDG Base Directory Specification)."""
    told = Path(os.environ.get(variable, ""))
    return (told if told.is_absolute() else Path.home() / below_home).resolve()
