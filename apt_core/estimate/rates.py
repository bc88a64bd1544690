"""How fast jobs are on this machine: its rates (`machine`), and stage by stage how far finished runs were off them.

    seconds of a stage = its work at the machine's rates x pace of the stage
    pace = median of {1, run / estimate for every finished run}, each within a factor of four

The 1 stands for the machine's own measurement: one odd run moves a stage to half of what it says (in logarithms),
and a second one that agrees is believed. No torch: the page estimates with these before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean

from pydantic import Field

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.base.values import Frozen
from apt_core.estimate.machine import Machine, packaged_machine, this_machine
from apt_core.estimate.work import Stage, solving, stages_of
from apt_core.events import LIBRARIES, Finished, ModelLoaded
from apt_core.events.records import RunRecord
from apt_core.families.known import UNLISTED
from apt_core.jobs.kinds import prunes
from apt_core.methods import Method
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.catalogue.shape import shape_in

_MOST = 4.0  # times faster or slower than estimated: the most that one run can change
_LEAST_SECONDS = 0.2  # a shorter stage is mostly chance
_TOKENS = 16_384  # of a calibration set, where none is given
_RUNS = 9  # the newest that are remembered


class Rates(Frozen):
    """A machine, and corrections learned from its runs.

    learned: stage -> how many times as long as estimated each finished run took, the newest last.
    dtype: that forwards run in where a job leaves it open.
    """

    machine: Machine
    dtype: str
    conditions: str
    taught: dict[str, tuple[float, ...]] = Field(default_factory=dict)

    @property
    def measured_here(self) -> bool:
        """By runs, or by the measurement of this machine."""
        return bool(self.taught) or self.machine.measured

    @property
    def basis(self) -> str:
        if self.taught:
            return "by earlier runs on this machine"
        here = "by rates measured on this machine"
        return here if self.machine.measured else f"by the rates of {self.conditions}"

    def seconds(self, name: str, stage: Stage, dtype: str) -> float:
        return stage.seconds(self.machine, dtype) * self.pace(name)

    def begun_warm(self) -> Rates:
        """The same where a process keeps the libraries imported for the next run."""
        return self.model_copy(
            update={"machine": self.machine.model_copy(update={"start": 0.0, "open": 0.0})}
        )

    def pace(self, name: str) -> float:
        """1 for a stage that no run has corrected."""
        ratios = sorted((1.0, *self.taught.get(name, ())))
        middle = len(ratios) // 2
        return ratios[middle] if len(ratios) % 2 else geometric_mean(ratios[middle - 1 : middle + 1])


def rates_of(machine: Machine, dtype: str = "auto") -> Rates:
    """A machine's rates before any run has corrected them."""
    return Rates(
        machine=machine, dtype=machine.dtype if dtype == "auto" else dtype, conditions=machine.conditions
    )


def solving_seconds(
    method: Method, layers: Sequence[LayerShape], pattern: Unstructured | SemiStructured, rates: Rates
) -> float:
    """What a method itself takes for the layers of one block."""
    work = Stage(solving(method, layers, _TOKENS, pattern))
    return rates.seconds("solve", work, rates.dtype)


def packaged_rates(dtype: str = "auto") -> Rates:
    """Those for forwards in `dtype`; for "auto" in what this machine is likely to choose."""
    return rates_of(packaged_machine(dtype), dtype)


def rates_here(dtype: str = "auto") -> Rates:
    """Those measured on this machine; the packaged ones until that is done (`machine.this_machine`)."""
    return rates_of(this_machine(dtype), dtype)


def rates_from(record: RunRecord, base: Rates | None = None) -> Rates:
    """`base` (None: the rates of this machine) corrected by a finished run.

    A run that did not finish, was recorded elsewhere, or pruned nothing, teaches nothing: `base` comes back.
    """
    base = base or rates_here(record.model.dtype if record.model else "auto")
    if record.finished is None or record.model is None or record.conditions or not prunes(record.job):
        return base
    taught = dict(base.taught)
    for name, ratio in _ratios(record, record.model, record.finished, base).items():
        taught[name] = (*taught.get(name, ()), ratio)[-_RUNS:]
    return base.model_copy(
        update={"taught": taught, "dtype": record.model.dtype, "conditions": record.model.hardware}
    )


def _ratios(record: RunRecord, model: ModelLoaded, finished: Finished, base: Rates) -> dict[str, float]:
    """Stage -> measured over estimated seconds, for the stages that the run times separately."""
    spent = _spent(record, finished)
    work = stages_of(record.job, facts_of(record, model), model.dtype)
    found = {}
    for name, stage in work.items():
        estimated = stage.seconds(base.machine, model.dtype)
        if name in spent and estimated > 0 and max(estimated, spent[name]) >= _LEAST_SECONDS:
            found[name] = min(max(spent[name] / estimated, 1 / _MOST), _MOST)
    return found


def _spent(record: RunRecord, finished: Finished) -> dict[str, float]:
    """Seconds of the stages that the next run repeats."""
    spent = {name: seconds for name, seconds in finished.seconds.items() if seconds > 0}
    within = ("solve", "forward", "statistics", "gradients")
    if "prune" in spent:
        spent["check"] = max(0.0, spent["prune"] - sum(spent.get(name, 0.0) for name in within))
    if record.dense and record.dense.reused:
        spent.pop("dense_eval", None)
    for name in finished.spared:  # what was read again took no time to speak of
        spent.pop(name, None)
    begun_warm = LIBRARIES in finished.spared
    if not _was_whole(record):  # nothing was loaded whole, and no token was written
        spent.pop("load", None)
        spent.pop("measure", None)
    if begun_warm:  # which tells nothing of a start that imports them
        spent.pop("load", None)
    elif record.started_at is not None and record.ended_at is not None and "total" in spent:
        spent["start"] = max(0.0, record.ended_at - record.started_at - spent["total"])
    return spent


def _was_whole(record: RunRecord) -> bool:
    return record.dense_speed is not None and record.dense_speed.tokens_per_second is not None


def facts_of(record: RunRecord, model: ModelLoaded) -> ModelFacts:
    """The measures of the model that a run was about, as its events tell them.

    The first layer reads the hidden states; what lies beside the pruned weights is taken for the embedding.
    """
    shapes = {layer.layer: layer.shape for layer in reversed(record.layers)}
    layers = tuple(shape_in(UNLISTED, name, *shapes[name]) for name in model.layers if name in shapes)
    hidden = layers[0].in_features if layers else 0
    return ModelFacts(
        id=record.job.model.id,
        title=model.title,
        source="local folder",
        parameters=model.parameters,
        prunable=model.prunable,
        blocks=model.blocks,
        hidden=hidden,
        vocab=(model.parameters - model.prunable) // hidden if hidden else 0,
        layers=layers,
        scans=model.scans,
        bytes_on_disk=record.dense_speed.bytes_on_disk if record.dense_speed else None,
        cached=True,
    )
