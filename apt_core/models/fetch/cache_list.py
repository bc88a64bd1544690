"""The models in our cache: what each takes, when it was last used, and how one is removed. No torch, no network.

Not `huggingface_hub.scan_cache_dir`: it does not count what is still arriving (*.incomplete), calls a repository of
which nothing else is there corrupted, and knows neither wheels nor what was dequantised.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from apt_core.base.errors import BadInput
from apt_core.base.paths import cache_dir
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.fetch import disk, gguf, hub_cache, manifest, packages

HUB = "Hub"
_BUSY = "{} is being downloaded or converted just now; stop that first."


class CachedModel(NamedTuple):
    """Everything that the cache holds of one model."""

    name: str  # as a job names it
    source: str  # "Hub" or "package index"
    places: tuple[Path, ...]
    n_bytes: int
    used_at: float | None  # Unix seconds; of a model that nobody has used, when it came
    whole: bool  # False while something is still to come


def list_cached() -> list[CachedModel]:
    """The largest first."""
    return sorted([*_from_hub(), *_from_index()], key=lambda model: (-model.n_bytes, model.name))


def mark_used(name: str) -> None:
    """Note that a run or a reader uses this model. Failing to write that down is not an error."""
    try:
        mark = _mark(_repo(name))
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        pass  # a full or read-only disk: the list then shows when the model came


def remove(name: str) -> int:
    """Remove everything that the cache holds of this model; returns the bytes that are free again.

    The caller has seen to it that no run uses it. Raises BadInput when there is nothing, or while it arrives.
    """
    found = next((model for model in list_cached() if model.name == name), None)
    if found is None:
        raise BadInput(f"There is no model {name[:100]} in the cache; 'cache list' shows what there is.")
    with disk.writing(cache_dir()):
        for place in found.places:
            _remove(place, name)
    _mark(name).unlink(missing_ok=True)
    return found.n_bytes


def _remove(place: Path, name: str) -> None:
    """Gone at once for everybody, however long the removal takes."""
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    try:
        with lock.acquire(timeout=0):
            doomed = place.with_name(f".{place.name}.deleted")
            shutil.rmtree(doomed, ignore_errors=True)  # what an interrupted removal left
            place.rename(doomed)
    except Timeout:
        raise BadInput(_BUSY.format(name)) from None
    except FileNotFoundError:
        return  # somebody else was faster
    if doomed.is_dir():
        shutil.rmtree(doomed, ignore_errors=True)
    else:
        doomed.unlink(missing_ok=True)


def _from_hub() -> Iterator[CachedModel]:
    """Snapshots and, of a GGUF, its file and what was made of it."""
    converted = {
        _name_of(folder.name, "gguf--"): folder for folder in (cache_dir() / "models").glob("gguf--*--*")
    }
    storages = {
        _name_of(folder.name, "models--"): folder for folder in hub_cache.our_cache().glob("models--*--*")
    }
    for name in storages.keys() | converted.keys():
        places = tuple(place for place in (storages.get(name), converted.get(name)) if place)
        whole = any(map(_is_whole, places))
        n_bytes = sum(map(_size_of, places))
        if n_bytes > 0 and (whole or _has_weights(places)):
            yield CachedModel(name, HUB, places, n_bytes, _used_at(name, places), whole)


def _from_index() -> Iterator[CachedModel]:
    """Models out of wheels: the wheels and the folder that was made of it."""
    for entry in CATALOGUE.values():
        if not entry.wheels:
            continue
        wheels = map(packages.cached_path, entry.wheels)
        places = tuple(place for place in (entry.folder, *wheels) if place.exists())
        if places:
            whole = manifest.is_whole(entry.folder)
            yield CachedModel(
                entry.name,
                "package index",
                places,
                sum(map(_size_of, places)),
                _used_at(entry.name, places),
                whole,
            )


def _name_of(folder: str, prefix: str) -> str:
    """'models--owner--name' -> 'owner/name'; the Hub allows no -- in either part."""
    return folder.removeprefix(prefix).replace("--", "/", 1)


def _repo(name: str) -> str:
    return gguf.split(name)[0]


def _has_weights(places: tuple[Path, ...]) -> bool:
    """More than a configuration that somebody looked at."""
    return any(_size_of(place) > 1_000_000 or any(place.rglob("*.incomplete")) for place in places)


def _is_whole(place: Path) -> bool:
    if place.name.startswith("gguf--"):
        return any(map(manifest.is_whole, place.iterdir()))
    return any(map(hub_cache.is_whole, (place / "snapshots").glob("*")))


def _size_of(place: Path) -> int:
    """Bytes on the disk; a link counts where it leads, and only if that lies elsewhere in the same place."""
    if place.is_file():
        return place.stat().st_size
    files = (file for file in place.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(_length(file) for file in files)


def _length(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # a download has just been renamed


def _used_at(name: str, places: tuple[Path, ...]) -> float | None:
    """When it was last used, else when it came."""
    for file in (_mark(name), *places):
        try:
            return file.stat().st_mtime
        except OSError:
            continue  # never used, or gone in this moment
    return None


def _mark(name: str) -> Path:
    return cache_dir() / "used" / name.replace("/", "--")
