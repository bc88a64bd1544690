"""A group of jobs that were asked for together, and the runs that do them."""

from __future__ import annotations

from pydantic import Field

from apt_core.base.policy import LOCAL
from apt_core.base.values import Frozen
from apt_core.jobs import AnyJob
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space

Asked = Space | Bisection


class Study(Frozen):
    """What was asked for, whatever became of it: jobs and runs in the same order.

    kind: how its runs are looked at together, such as "race". owner: who asked for it, as `runs.owners` names visitors.
    space: the grid that the jobs of a sweep are of. bisection: what is looked for, where each job follows from the
    results before it. held: why this host did not take its next run, in one sentence.
    """

    schema_version: int = Field(default=1, ge=1)
    id: str
    kind: str
    created_at: float
    owner: str = LOCAL
    jobs: tuple[AnyJob, ...]
    runs: tuple[str, ...]
    space: Space | None = None
    bisection: Bisection | None = None
    held: str = ""

    def with_run(self, place: int, run_id: str) -> Study:
        """The same with another run in one place."""
        return self.model_copy(update={"runs": (*self.runs[:place], run_id, *self.runs[place + 1 :])})
