"""How much text a run reads, and with which method: three steps from a first look to a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from apt_core.base.patterns import Unstructured
from apt_core.ui.forms.fields import fields_of, value_at

NUMBERS = ("calibration.samples", "calibration.length", "evaluation.samples", "evaluation.length")


class Preset(NamedTuple):
    """A title, what the fields of NUMBERS become, and the method that goes with them."""

    title: str
    numbers: tuple[int, int, int, int]
    method: str = "apt"

    @property
    def values(self) -> dict[str, int]:
        return dict(zip(NUMBERS, self.numbers, strict=True))


PRESETS: dict[str, Preset] = {
    "quick": Preset("Quick", (16, 256, 8, 512)),
    "standard": Preset("Standard", (32, 512, 12, 1024)),
    "thorough": Preset("Thorough", (128, 1024, 40, 1024), "apt-joint"),
}
DEFAULT_PRESET = "quick"
# What the page proposes at first: a mild sparsity whose result still speaks sentences, so that a newcomer sees what
# pruning costs and not only that it can ruin a model. SmolLM2 at Quick, by APT: 30% takes the perplexity from 14.9 to
# 17.2 and answers stay fluent, 2:4 takes it to 62 and they loop. The recorded samples lead on from there.
FIRST_PATTERN = Unstructured(sparsity=0.3)


def preset_of(values: Mapping[str, Any]) -> str | None:
    """The name of the preset with exactly these numbers, None when they are the visitor's own."""
    wanted = tuple(values.get(path) for path in NUMBERS)
    return next((name for name, preset in PRESETS.items() if preset.numbers == wanted), None)


def numbers_of(job: BaseModel) -> dict[str, Any]:
    """What a job says of the fields of NUMBERS; nothing of those that its kind does not have."""
    paths = {field.path for field in fields_of(type(job))}
    return {path: value_at(job, path) for path in NUMBERS if path in paths}


def method_of(preset: str, chosen: str) -> str:
    """The method once a preset is taken: its own, unless the visitor chose one that no preset names."""
    named = {entry.method for entry in PRESETS.values()}
    return PRESETS[preset].method if preset in PRESETS and chosen in named else chosen
