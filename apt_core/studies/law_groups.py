"""Which recoveries share a law: those of one family of models, pruned in one way and trained in one way. No torch.

The constants of the law are those of a pruning method and a family of models (arXiv 2411.10272), and of a way to train.
Sizes and sparsities are what it runs over, so these may differ within a group; so may seeds and numbers of steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from apt_core.base.words import number
from apt_core.events.records import RunRecord
from apt_core.jobs.kinds import trains
from apt_core.models.catalogue.entries import title_of
from apt_core.studies.differing import said
from apt_core.texts.titles import text_title

Known = Callable[[str], RunRecord | None]  # the run of this id, None where it is gone
_SIZE = re.compile(r"[\s_-]*\b\d+(\.\d+)?[kmbt]\b", re.IGNORECASE)  # of a model, in its name: "135M", "-0.5B"


class Group(NamedTuple):
    """What the recoveries of one law have in common. options: of the recovery and of what it reads, by name."""

    recovery: str
    text: str
    family: str
    pruned: str
    options: tuple[tuple[str, Any], ...]


def group_of(record: RunRecord, known: Known) -> Group:
    """Where a recovery belongs; what pruned a model whose run is gone is taken for a way of its own."""
    job = record.job
    assert trains(job)
    model, ways = _origin(record, known)
    own = {name: getattr(job.method, name) for name in type(job.method).model_fields}
    options = own | job.training.model_dump(include={"length", "batch"})
    return Group(
        job.method.title,
        ", ".join(text_title(text.text) for text in job.reads),
        family_of(model) if model else "",
        ", then ".join(ways),
        tuple(options.items()),
    )


def family_of(model: str) -> str:
    """The name of a model without its size: 'SmolLM2 135M Instruct' -> 'SmolLM2 Instruct'."""
    return _SIZE.sub("", title_of(model)).strip() or title_of(model)


def _origin(record: RunRecord, known: Known) -> tuple[str, list[str]]:
    """(the dense model that a recovery goes back to, empty where that is not known; what was done to it, in order)."""
    ways: list[str] = []
    job = record.job
    while (run_id := job.model.run) is not None:
        before = known(run_id)
        if before is None:
            return "", [f"run {run_id}, which is gone", *ways]
        job = before.job
        ways.insert(0, job.way)
    return job.model.id, ways


def grouped(records: Iterable[RunRecord], known: Known) -> dict[Group, list[RunRecord]]:
    """Group -> its recoveries; those without a curve are left out."""
    found: dict[Group, list[RunRecord]] = {}
    for record in records:
        if trains(record.job) and record.training is not None and record.steps:
            found.setdefault(group_of(record, known), []).append(record)
    return found


def labels_of(groups: Sequence[Group]) -> dict[Group, str]:
    """Group -> 'SPP on WikiText · SmolLM2 · Wanda 2:4', with the options in which it differs from others of its
    recovery."""
    found = {}
    for group in groups:
        options = _options([other for other in groups if other.recovery == group.recovery])
        found[group] = _label(group, {name for name, values in options.items() if len(values) > 1})
    return found


def _label(group: Group, varying: set[str]) -> str:
    own = ", ".join(f"{name} {_said(value)}" for name, value in group.options if name in varying)
    parts = [f"{group.recovery} on {group.text}", group.family, group.pruned, own]
    return " · ".join(filter(None, parts))


def apart_sentence(groups: Sequence[Group]) -> str:
    """What kept these groups apart, in words; nothing where there is one alone."""
    if len(groups) < 2:
        return ""
    fields = {
        "the recovery": [group.recovery for group in groups],
        "its text": [group.text for group in groups],
        "the family of models": [group.family or "not known" for group in groups],
        "how they were pruned": [group.pruned or "not known" for group in groups],
        **{name: [_said(one) for one in values] for name, values in _options(groups).items()},
    }
    differing = {name: list(dict.fromkeys(values)) for name, values in fields.items()}
    named = [f"{name} ({'; '.join(values)})" for name, values in differing.items() if len(values) > 1]
    return (
        f"{len(groups)} laws, because a law's constants belong to one way to prune and to train, and these recoveries "
        f"differ in {', '.join(named)}."
    )


def _options(groups: Sequence[Group]) -> dict[str, list[Any]]:
    """Option -> its different values, of the groups that have it."""
    found: dict[str, list[Any]] = {}
    for group in groups:
        for name, value in group.options:
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def _said(value: Any) -> str:
    return number(value) if isinstance(value, float) else said(value)
