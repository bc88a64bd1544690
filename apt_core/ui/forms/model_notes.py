"""What the list of models says of each one: how large it is, whether it is here, and whether it fits; and its group."""

from __future__ import annotations

from apt_core.base.errors import PruneError
from apt_core.base.words import short_count, size
from apt_core.estimate.preflight import estimate, free_memory
from apt_core.jobs import make_job
from apt_core.models.catalogue.entries import CATALOGUE, CatalogueEntry
from apt_core.models.catalogue.facts import ModelFacts, known_facts
from apt_core.ui.forms.presets import DEFAULT_PRESET, PRESETS
from apt_core.ui.studio import Studio

_USUAL, _TINY, _TERMS = (
    "Language models",
    "Tiny, with the app: every step in seconds",
    "With terms that have to be accepted",
)
_GROUPS = (_USUAL, _TINY, _TERMS)


def group_of(entry: CatalogueEntry) -> str:
    if entry.source == "bundled":
        return _TINY
    return _TERMS if entry.gated or entry.terms else _USUAL


def in_groups() -> list[CatalogueEntry]:
    """The catalogue as the list shows it: group by group, each in its own order."""
    return sorted(CATALOGUE.values(), key=lambda entry: _GROUPS.index(group_of(entry)))


def model_notes(studio: Studio) -> dict[str, dict[str, str]]:
    """Title -> its note and its group. Asks no network."""
    return {entry.title: {"note": _note(entry, studio), "group": group_of(entry)} for entry in in_groups()}


def _note(entry: CatalogueEntry, studio: Studio) -> str:
    facts = known_facts(entry, studio.policy)
    where = (
        f"{size(facts.download_bytes)} to fetch"
        if facts.download_bytes
        else f"{size(facts.bytes_on_disk)}, here"
    )
    made = f"dequantised from {entry.quantised}" if entry.quantised else ""
    parts = (f"{short_count(facts.parameters)} parameters", made, where, _room(facts, studio))
    return " · ".join(part for part in parts if part)


def _room(facts: ModelFacts, studio: Studio) -> str:
    """What is in the way of pruning it here; nothing where it fits."""
    try:
        studio.check_model(facts)
    except PruneError:
        return "too large for this host"
    first = dict(zip(("samples", "length"), PRESETS[DEFAULT_PRESET].numbers, strict=False))
    job = make_job("prune", model={"id": facts.id}, method="apt", calibration=first)
    needed, free = estimate(job, facts).memory_bytes or 0, free_memory()
    return f"needs {size(needed)} of memory, {size(free)} are free" if needed > free else "fits"
