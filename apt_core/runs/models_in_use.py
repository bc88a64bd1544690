"""Which models runs need, so that none is taken away from under them."""

from __future__ import annotations

from contextlib import suppress

from apt_core.base.errors import BadInput
from apt_core.models.fetch import cache_list, gguf
from apt_core.runs.store import Store


def in_use(store: Store) -> set[str]:
    """The models of runs that wait or work, by the names that the cache gives them."""
    refs = [record.job.model for record in store.live()]
    return {gguf.split(ref.id.strip())[0] for ref in refs if ref.run is None}


def remove(store: Store, name: str) -> int:
    """Remove a model from the cache; returns the bytes that are free again. Raises BadInput while a run needs it."""
    if name in in_use(store):
        raise BadInput(f"A run that waits or works needs {name}; wait until it ends, or stop it first.")
    return cache_list.remove(name)


def keep_within(store: Store, most: int) -> list[str]:
    """Remove models of the Hub, first those that were not used for longest, until all that is cached takes at most so
    many bytes; returns their names. What a run needs stays, and what comes with the app. Raises OSError."""
    cached, needed = cache_list.list_cached(), in_use(store)
    left, gone = sum(model.n_bytes for model in cached), list[str]()
    for model in sorted(cached, key=lambda model: model.used_at or 0.0):
        if left <= most:
            break
        if model.source == cache_list.HUB and model.name not in needed:
            with suppress(BadInput):  # it arrives just now
                left -= cache_list.remove(model.name)
                gone.append(model.name)
    return gone
