"""The chooser on a narrow screen, folded to the one line that says what was chosen."""

from __future__ import annotations

from apt_core.events.records import RunRecord
from apt_core.ui.forms.presets import PRESETS, numbers_of, preset_of
from apt_core.ui.views.html import Markup


def chosen_line(record: RunRecord, title: str) -> Markup:
    """'SmolLM2 135M · APT · 2:4 · Quick', a button that opens the chooser again; an invitation beside a sample."""
    if record.id.startswith("sample-"):
        return _button("Prune a model yourself", "Choose")
    parts = [title, *filter(None, record.job.labels)]
    if name := preset_of(numbers_of(record.job)):
        parts.append(PRESETS[name].title)
    return _button(" · ".join(parts), "Change")


def _button(said: str, change: str) -> Markup:
    return Markup(
        '<button type="button" class="chosen" data-fold aria-expanded="false" aria-controls="choose">'
        '<span>{}</span><span class="change">{}</span></button>'
    ).format(said, change)
