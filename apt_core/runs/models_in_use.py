"""Which models runs need, so that none is taken away from under them."""

from __future__ import annotations

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
        raise BadInput(f"A run that waits or works needs {name}; let it end or stop it first.")
    return cache_list.remove(name)
