"""What can be asked of a finished run's insides, or of an allocation before a run, and what comes back, as values. No
torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter

from apt_core.base.values import Frozen
from apt_core.events import Failed
from apt_core.jobs import Calibration, Evaluation, Prune
from apt_core.measure.depth_values import BlocksAlone, Depth
from apt_core.measure.inside.values import LayerInside
from apt_core.measure.layer_shares import LayerShares
from apt_core.methods import Statistic, make_method
from apt_core.texts.sources import FALLBACK_TEXT

FORMAT = 1  # of the answers: another number, and what was kept is looked at again


class LayerQuestion(Frozen):
    """inputs: also walk the calibration text up to this layer. row: of the worked equation; that of the neuron which
    lost most when None."""

    kind: Literal["layer"] = "layer"
    run: str
    block: int = Field(ge=0)
    layer: str = Field(min_length=1, max_length=200)
    row: int | None = Field(default=None, ge=0)
    inputs: bool = False


class DepthQuestion(Frozen):
    """How error grows with depth, on the first windows of the run's evaluation text."""

    kind: Literal["depth"] = "depth"
    run: str
    windows: int = Field(default=4, ge=1, le=16)
    length: int = Field(default=256, ge=16, le=1024)


class BlocksAloneQuestion(Frozen):
    """What each block costs when it alone is pruned, on the first windows of the run's evaluation text."""

    kind: Literal["blocks_alone"] = "blocks_alone"
    run: str
    windows: int = Field(default=2, ge=1, le=16)
    length: int = Field(default=256, ge=16, le=1024)


class AllocationQuestion(Frozen):
    """What an allocation gives each layer. job: the run that it is for, as `of` reduces it."""

    kind: Literal["allocation"] = "allocation"
    job: Prune

    @classmethod
    def of(cls, job: Prune) -> AllocationQuestion:
        """Of all that the run would do only what its allocation depends on, so that equal questions are one."""
        allocation = job.method.allocation
        varying = {"allocation": allocation} if allocation.varies(job.pattern) else {}
        method = make_method("magnitude", varying)
        alone = cls(job=job.model_copy(update={"method": method, "evaluation": (_NOT_READ,)}))
        if alone.reads_text:
            return alone
        reduced = alone.job.model_copy(update={"calibration": _NO_CALIBRATION, "seed": 0})
        return cls(job=reduced)

    @property
    def reads_text(self) -> bool:
        """Whether the calibration text goes through the dense model."""
        return bool(_OF_A_TEXT & self.job.method.needs_for(self.job.pattern))


_OF_A_TEXT = frozenset({Statistic.DENSE_INPUTS, Statistic.OUTPUT_GRADIENTS})
_NO_CALIBRATION = Calibration(text=FALLBACK_TEXT, samples=1, length=16)
_NOT_READ = Evaluation(text=FALLBACK_TEXT, samples=1, length=16)  # a job names one

RunQuestion = LayerQuestion | DepthQuestion | BlocksAloneQuestion
Question = Annotated[RunQuestion | AllocationQuestion, Field(discriminator="kind")]
question_adapter: TypeAdapter[Question] = TypeAdapter(cast(Any, Question))


class Looking(Frozen):
    """How far it is; `done` of `total` steps."""

    kind: Literal["looking"] = "looking"
    done: int
    total: int
    detail: str


Answer = Annotated[LayerInside | Depth | BlocksAlone | LayerShares, Field(discriminator="kind")]
answer_adapter: TypeAdapter[Answer] = TypeAdapter(cast(Any, Answer))
Reply = Annotated[
    Looking | LayerInside | Depth | BlocksAlone | LayerShares | Failed, Field(discriminator="kind")
]
reply_adapter: TypeAdapter[Reply] = TypeAdapter(cast(Any, Reply))
