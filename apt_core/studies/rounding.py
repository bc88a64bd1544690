"""Pruning beside rounding: which rounded models are measured to stand beside a run or a sweep. No torch.

The dense model at 8 and at 4 bits, and at 8 bits what was pruned: of a sweep the runs that no other beats in both bytes
and perplexity. All of it on the texts and windows of the runs, in their precision, as a study of the kind `ROUNDING`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord
from apt_core.jobs import Evaluate, make_value
from apt_core.jobs.kinds import measures, prunes
from apt_core.jobs.parts import RUN_PREFIX, Resources
from apt_core.studies.curve import Point, front, points_of
from apt_core.studies.paired import readings
from apt_core.studies.rounded import on_their_way, references

ROUNDING = "rounding"
_DENSE_BITS, _PRUNED_BITS = (8, 4), 8
_DTYPES = frozenset(get_args(Resources.model_fields["dtype"].annotation))


def rounding_jobs(
    records: Sequence[RunRecord], others: Iterable[RunRecord], usable: Callable[[str], bool]
) -> tuple[Evaluate, ...]:
    """What is still to be measured for these runs. others: runs that may have measured some of it, the newest first.
    usable: whether the pruned model of a run is there to be measured.

    Raises BadInput where the runs cannot be compared with rounding.
    """
    swept = _comparable(records)
    others = list(others)
    known = {(one.job.model.id, _bits(one)) for one in _measured(swept, others)}
    wanted = [(swept[0].job.model.id, bits) for bits in _DENSE_BITS]
    wanted += [(f"{RUN_PREFIX}{run}", _PRUNED_BITS) for run in _best(swept) if usable(run)]
    return tuple(_job(swept[0], model, bits) for model, bits in wanted if (model, bits) not in known)


def comparable(record: RunRecord) -> bool:
    """Whether a run pruned single weights, has finished, and has a perplexity to compare with."""
    return prunes(record.job) and record.finished is not None and record.pruned is not None


def alike(records: Sequence[RunRecord]) -> bool:
    """Whether all are of one model and measured on the same texts and windows."""
    return len({(run.job.model, run.job.evaluation) for run in records}) <= 1


def _comparable(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Those of the runs that are; raises BadInput where there are none, or where they were measured differently."""
    swept = [record for record in records if comparable(record)]
    if not swept:
        raise BadInput(
            "Rounding is compared with a finished run that set weights to zero and measured its perplexity; these are "
            "none."
        )
    if not alike(swept):
        raise BadInput(
            "Runs that are compared with rounding have one model, one text and its windows in common; name them one by "
            "one."
        )
    first = swept[0]
    read = readings(first)[0]
    if not read.made.losses:
        raise BadInput(
            f"Run {first.id} kept no losses of single windows, as runs of earlier versions; prune again to compare it "
            "with rounding."
        )
    if read.calibrated_on_it and read.wanted.text.startswith("hub:"):
        raise BadInput(
            f"Run {first.id} was calibrated on the dataset that it was measured on, which leaves it other windows than "
            "a model that is only measured; choose another text to measure on."
        )
    return swept


def _best(swept: Sequence[RunRecord]) -> list[str]:
    """The ids of the runs that no other beats in both bytes and perplexity."""
    points = points_of(swept)
    counted = all(point.packed is not None for point in points)

    def weight(point: Point) -> float:
        return float(point.packed or 0) if counted else 1 - point.sparsity

    return [point.run for point in front(points, weight)]


def _measured(swept: Sequence[RunRecord], others: list[RunRecord]) -> list[RunRecord]:
    """What was measured on these windows before, or is about to be."""
    runs = {one.run for one in references(swept, others)}
    return [other for other in others if other.id in runs] + list(on_their_way(swept, others))


def _bits(record: RunRecord) -> int:
    return record.job.rounding.number if measures(record.job) else 0


def _job(run: RunRecord, model: str, bits: int) -> Evaluate:
    """The same windows in the same precision."""
    asked, dtype = run.job.resources, run.model.dtype if run.model else "auto"
    resources: dict[str, Any] = {"device": asked.device, "weights": asked.weights}
    return make_value(
        Evaluate,
        model={"id": model, "revision": None if model.startswith(RUN_PREFIX) else run.job.model.revision},
        evaluation=run.job.evaluation,
        rounding={"bits": str(bits)},
        resources=resources | {"dtype": dtype if dtype in _DTYPES else "auto"},
    )
