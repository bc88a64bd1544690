"""Whether the choices ask for what the shown run was asked for: said above the button, which starts the choices."""

from __future__ import annotations

from typing import Any

from apt_core.base.errors import PruneError
from apt_core.jobs import Prune
from apt_core.ui.forms.form import jobs_of, write
from apt_core.ui.studio import Studio
from apt_core.ui.views.html import Markup

_METHOD = "method.name"  # which every job has that the choices can ask for


def differs(studio: Studio, kind: type[Prune], values: dict[str, Any], run_id: str) -> str:
    """Empty where they are alike, beside a recorded sample or a run that they could not ask for, and while they are no
    job."""
    try:
        record = studio.record(run_id)
        first, *_ = jobs_of(kind, values | {"terms": True}, studio.policy)
    except PruneError:
        return ""
    shown = write(record.job)
    if studio.is_sample(run_id) or _METHOD not in shown or shown == write(first):
        return ""
    return str(
        Markup(
            '<p class="says differs" role="status">Settings differ from this result ({} · {}). '
            '<button type="button" class="quiet-button" data-use-shown>Restore</button></p>'
        ).format(studio.title(record), record.job.label)
    )
