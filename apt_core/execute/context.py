"""What a job is given to work with: nothing about a run is global. No torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from apt_core.base.clock import Clock
from apt_core.base.errors import UnknownModel
from apt_core.base.model_bounds import UNBOUNDED, ModelBounds
from apt_core.base.policy import HostPolicy
from apt_core.jobs import Job, ModelRef

if TYPE_CHECKING:
    import torch

    from apt_core.models.load.placement import Placement
    from apt_core.passes.layer_walk import WalkName

    # (job, the model's folder, float type, device) -> where its weights go.
    Place = Callable[[Job, Path, torch.dtype, str], Placement]
    # (job, the model's folder) -> how the calibration windows go through a block.
    ChooseWalk = Callable[[Job, Path], WalkName]


class Made(NamedTuple):
    """A model that a run made: its folder and its title."""

    folder: Path
    title: str


class RunReader(Protocol):
    """The part of the store that a job may look into."""

    def made_by(self, run_id: str) -> Made:
        """Raises BadInput with one sentence where that run has no model (any more)."""
        ...

    def dense_of(self, run_id: str) -> ModelRef:
        """The model that no run made, at the beginning of a run's lineage; raises UnknownRun."""
        ...

    def training_of(self, run_id: str) -> Path:
        """The folder with the state that a run has kept for resuming; raises BadInput where there is none."""
        ...


class Context(NamedTuple):
    """place and walk: what decides where the job leaves it open (`estimate.placing`); None takes what the job says,
    in memory and halting where it says nothing. shared: a folder in which the runs of one study keep for one another
    what is the same for all of them. pause: asked between two blocks that are pruned; where it says yes, the job keeps
    what it has come to, says `Paused` and ends. bounds: how large a model may be that is fetched for the job."""

    folder: Path  # of this run; what it makes goes to `checkpoint/` in it
    device: str  # that was asked for: auto, cpu, cuda, mps
    clock: Clock
    policy: HostPolicy
    store: RunReader | None = None  # None in a process without a store
    place: Place | None = None
    walk: ChooseWalk | None = None
    shared: Path | None = None
    pause: Callable[[], bool] | None = None
    bounds: ModelBounds = UNBOUNDED

    @classmethod
    def of(
        cls, job: Job, folder: Path, policy: HostPolicy, store: RunReader | None = None, **planned: Any
    ) -> Context:
        """planned: `place`, `walk`, `shared`, `pause` and `bounds`."""
        return cls(folder, job.resources.device, Clock(), policy, store, **planned)

    def made_by(self, run_id: str) -> Made:
        """The model of another run; raises BadInput where there is none."""
        return self._reader(run_id).made_by(run_id)

    def dense_of(self, run_id: str) -> ModelRef:
        """The dense model that another run's goes back to."""
        return self._reader(run_id).dense_of(run_id)

    def training_of(self, run_id: str) -> Path:
        """Where another run has kept the state of its training or search."""
        return self._reader(run_id).training_of(run_id)

    def _reader(self, run_id: str) -> RunReader:
        if self.store is None:
            raise UnknownModel(f"There is no store of runs here, so run:{run_id[:40]} names no model.")
        return self.store
