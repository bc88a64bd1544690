"""The choices of a visitor's last run, in the visitor's own browser: what the page proposes the next time.

Only what a job holds is kept: no prompt, no token, and on a public host no text that somebody brought.
"""

from __future__ import annotations

from typing import Any

from apt_core.base.errors import PruneError
from apt_core.base.policy import HostPolicy
from apt_core.base.values import Frozen
from apt_core.ui.forms import uploads
from apt_core.ui.forms.fields import Values
from apt_core.ui.forms.form import AJob, read, write


def kept(job: Frozen, policy: HostPolicy) -> dict[str, Any]:
    """What a browser keeps of a job: the values of the controls that ask for it."""
    brought = {path for path, value in write(job).items() if policy.public and _is_brought(value)}
    return {path: value for path, value in write(job).items() if path not in brought}


def recalled(kind: type[AJob], values: Any, first: Values, policy: HostPolicy) -> AJob | None:
    """The job of what a browser kept, None where it holds nothing that this page could ask for.

    first: the values of the controls before anybody chose; what was not kept is as they are.
    """
    if not isinstance(values, dict) or not values:
        return None
    known = {path: value for path, value in values.items() if path in first}
    try:
        return read(kind, {**first, **known}, policy)
    except (PruneError, KeyError, TypeError, ValueError):  # of another version, or not by this page
        return None


def _is_brought(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(uploads.PREFIX)
