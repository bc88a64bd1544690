"""The chooser on a narrow screen, folded to the one line that says what was chosen."""

from __future__ import annotations

from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.ui.forms.presets import PRESETS, preset_of
from apt_core.ui.views.html import Markup


def chosen_line(record: RunRecord, title: str) -> Markup:
    """'SmolLM2 135M · APT · 2:4 · Quick', a button that opens the chooser again."""
    recipe = record.job
    if not isinstance(recipe, Prune):
        return _line([title, *filter(None, recipe.labels)])
    name = preset_of(
        recipe.calibration.samples,
        recipe.calibration.length,
        recipe.evaluation[0].samples,
        recipe.evaluation[0].length,
    )
    parts = [title, recipe.method.label, recipe.pattern.label]
    if name:
        parts.append(PRESETS[name].title)
    return _line(parts)


def _line(parts: list[str]) -> Markup:
    return Markup(
        '<button type="button" class="chosen" data-fold aria-expanded="false" aria-controls="choose">'
        '<span>{}</span><span class="change">Change</span></button>'
    ).format(" · ".join(parts))
