"""Where the store keeps what on the disk, and what the folder of a run says without the index."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from apt_core.base.errors import DiskFull
from apt_core.runs import token_holder
from apt_core.runs.ids import check_id

JOB_FILE = "job.json"
IN_PROCESS = "in-process"  # of a run that a process of a person does itself, which is never signalled
MEMBERS_ONLY = "members-only"  # of a run made from one that came with a token


class Folders(NamedTuple):
    """`root/runs/<id>/` and `root/studies/<id>/`."""

    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def studies(self) -> Path:
        return self.root / "studies"

    def run(self, run_id: str) -> Path:
        """Raises UnknownRun for what is no id of a run."""
        return self.runs / check_id(run_id)

    def checkpoint(self, run_id: str) -> Path | None:
        """The pruned weights of a run, None when it has none (any more)."""
        checkpoint = self.run(run_id) / "checkpoint"
        return checkpoint if any(checkpoint.glob("*.safetensors")) else None

    def came_with_token(self, run_id: str) -> bool:
        """Whether the run was asked for with a Hub token of a visitor, for a model that is not for everybody, or was
        made from such a run."""
        folder = self.run(run_id)
        return token_holder.of(folder) is not None or (folder / MEMBERS_ONLY).exists()

    def disk_full(self) -> DiskFull:
        return DiskFull(f"The disk that holds {self.root} is full; free some space.")


def read_job_file(folder: Path) -> str:
    """The JSON text of a run's job; version 1 called it a recipe."""
    for name in (JOB_FILE, "recipe.json"):
        if (folder / name).exists():
            return (folder / name).read_text(encoding="utf-8")
    raise FileNotFoundError(f"There is no {JOB_FILE} in {folder}.")
