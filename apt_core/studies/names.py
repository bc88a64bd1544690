"""The shortest names that distinguish runs from one another. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from apt_core.base.words import file_title
from apt_core.events.records import RunRecord
from apt_core.models.catalogue.entries import title_of
from apt_core.studies.differing import fields_of

_SAID = {  # fields that tell runs of one method apart, in the order in which they are tried
    "seed": "seed {}",
    "calibration.samples": "{} samples",
    "calibration.length": "{} tokens each",
    "calibration.text": "calibrated on {}",
    "evaluation.samples": "{} windows",
    "evaluation.length": "windows of {}",
    "evaluation.text": "on {}",
    "resources.dtype": "{}",
    "resources.device": "on {}",
}


def title_of_run(record: RunRecord) -> str:
    """'SmolLM2 135M · APT · 2:4'"""
    return f"{_model(record)} · {record.job.label}"


def names_of(records: Sequence[RunRecord]) -> dict[str, str]:
    """Run -> a name of its own: method and pattern; the model, a field or the id only where these are not enough."""
    several_models = len({(record.job.model.id, _model(record)) for record in records}) > 1
    names = {record.id: _base(record, several_models) for record in records}
    fields = {record.id: fields_of(record.job) for record in records}
    for path, said in _SAID.items():
        for alike in _ambiguous(names):
            values = [fields[run].get(path) for run in alike]
            if len({repr(value) for value in values}) > 1:
                names |= {
                    run: f"{names[run]}, {said.format(_plain(value))}"
                    for run, value in zip(alike, values, strict=True)
                    if value is not None
                }
    for alike in _ambiguous(names):
        names |= {run: f"{names[run]}, run {_tail(run)}" for run in alike}
    return names


def _base(record: RunRecord, with_model: bool) -> str:
    """A run that only measures is called after what it measured, rounded or as it is."""
    if len(record.job.subjects) == 1:
        bits = fields_of(record.job).get("rounding.bits", "none")
        return _model(record) if bits == "none" else f"{_model(record)}, {bits} bits"
    return title_of_run(record) if with_model else record.job.label


def _ambiguous(names: dict[str, str]) -> list[list[str]]:
    """The groups of runs that share a name."""
    taken = Counter(names.values())
    return [[run for run, name in names.items() if name == shared] for shared in taken if taken[shared] > 1]


def _tail(run_id: str) -> str:
    """The time of day and the four digits: '142737-31c6'."""
    return run_id.split("-", 1)[-1]


def _model(record: RunRecord) -> str:
    return record.model.title if record.model else title_of(record.job.model.id)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return file_title(value) if isinstance(value, str) else str(value)
