"""A group of jobs that were asked for together, and the runs that do them."""

from __future__ import annotations

from pydantic import Field

from apt_core.base.values import Frozen
from apt_core.jobs import AnyJob


class Study(Frozen):
    """What was asked for, whatever became of it: jobs and runs in the same order.

    kind: how its runs are looked at together, such as "race".
    """

    schema_version: int = Field(default=1, ge=1)
    id: str
    kind: str
    created_at: float
    jobs: tuple[AnyJob, ...]
    runs: tuple[str, ...]
