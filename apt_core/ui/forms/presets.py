"""How much text a run reads, and with which method: three steps from a first look to a measurement."""

from __future__ import annotations

from typing import NamedTuple


class Preset(NamedTuple):
    title: str
    samples: int
    length: int
    eval_samples: int
    eval_length: int
    method: str = "apt"


PRESETS: dict[str, Preset] = {
    "quick": Preset("Quick", 16, 256, 8, 512),
    "standard": Preset("Standard", 32, 512, 12, 1024),
    "thorough": Preset("Thorough", 128, 1024, 40, 1024, "apt-joint"),
}
DEFAULT_PRESET = "quick"


def preset_of(samples: int, length: int, eval_samples: int, eval_length: int) -> str | None:
    """The name of the preset with exactly these numbers, None when they are the visitor's own."""
    wanted = (samples, length, eval_samples, eval_length)
    return next((name for name, preset in PRESETS.items() if tuple(preset)[1:5] == wanted), None)


def method_of(preset: str, chosen: str) -> str:
    """The method once a preset is taken: its own, unless the visitor chose one that no preset names."""
    named = {entry.method for entry in PRESETS.values()}
    return PRESETS[preset].method if preset in PRESETS and chosen in named else chosen
