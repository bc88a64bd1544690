"""Several runs beside one another: what was asked for, what they measured, all against the first. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apt_core.base.errors import BadInput
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.values import Frozen
from apt_core.events import Subject
from apt_core.events.records import RunRecord, Status, measures, public_name
from apt_core.studies.differing import Fields, differing_fields, fields_of, named
from apt_core.studies.names import names_of, title_of_run
from apt_core.studies.paired import Paired, Unpaired, compare_pair, paired_sentence
from apt_core.studies.ratios import Ratio, ratio_to_dense
from apt_core.texts.titles import text_title

FEWEST, MOST = 2, 12


class Perplexity(Frozen):
    """Of one model on one text, with its own 95% interval (None for one window)."""

    subject: Subject
    text: str
    perplexity: float
    low: float | None
    high: float | None
    windows: int
    length: int
    protocol: str


class ComparedRun(Frozen):
    """One of the runs. fields: everything that was asked for, by dotted path. ratio: of what it made over the dense
    model, on the first text. measures: as in the JSON of the run."""

    run: str
    title: str
    kind: str
    status: Status
    fields: Fields
    perplexities: tuple[Perplexity, ...]
    mean_relative_error: float | None
    sparsity: float | None
    ratio: Ratio | None
    measures: dict[str, Any]
    hardware: str | None
    versions: dict[str, str] | None


class Comparison(Frozen):
    """What `compare` prints. paired: every run against the first one, text by text."""

    runs: tuple[ComparedRun, ...]
    differing: dict[str, dict[str, Any]]  # path -> run -> value
    shared: Fields
    paired: tuple[Paired, ...]
    unpaired: tuple[Unpaired, ...]


def runs_to_compare(run_ids: Sequence[str], read: Callable[[str], RunRecord]) -> tuple[RunRecord, ...]:
    """The runs of these ids; raises BadInput with one sentence for too few, too many, twice the same."""
    if len(run_ids) < FEWEST:
        raise BadInput("A comparison takes at least two runs; name another one.")
    if len(run_ids) > MOST:
        raise BadInput(f"A comparison takes at most {MOST} runs, not {len(run_ids)}; leave some out.")
    twice = next((run_id for run_id in run_ids if list(run_ids).count(run_id) > 1), None)
    if twice is not None:
        raise BadInput(f"Run {twice[:60]} is named twice; a comparison takes different runs.")
    return tuple(map(read, run_ids))


def compare(records: Sequence[RunRecord], policy: HostPolicy = STRICT) -> Comparison:
    """These runs beside one another; on a public host files are named without their folders."""
    differing, shared = differing_fields(records, policy)
    pairs = pairs_with_first(records)
    said = [pair.model_copy(update={"text": public_name(pair.text, policy)}) for pair in pairs]
    return Comparison(
        runs=tuple(_compared(record, policy) for record in records),
        differing=differing,
        shared=shared,
        paired=tuple(pair for pair in said if isinstance(pair, Paired)),
        unpaired=tuple(pair for pair in said if isinstance(pair, Unpaired)),
    )


def pairs_with_first(records: Sequence[RunRecord]) -> list[Paired | Unpaired]:
    """Every run against the first one, on every text that both measured."""
    return [pair for other in records[1:] for pair in compare_pair(records[0], other)]


def sentences(records: Sequence[RunRecord]) -> list[str]:
    """The same in words."""
    names = names_of(records)
    return [
        paired_sentence(pair, names[pair.a], names[pair.b], text_title(pair.text) if pair.text else "")
        for pair in pairs_with_first(records)
    ]


def _compared(record: RunRecord, policy: HostPolicy) -> ComparedRun:
    return ComparedRun(
        run=record.id,
        title=title_of_run(record),
        kind=record.job.kind,
        status=record.status,
        fields=named(fields_of(record.job), policy),
        perplexities=tuple(
            Perplexity(
                subject=one.subject,
                text=public_name(one.text, policy),
                perplexity=one.perplexity,
                low=one.low,
                high=one.high,
                windows=one.windows,
                length=one.length,
                protocol=one.protocol,
            )
            for one in record.evaluated
        ),
        mean_relative_error=record.mean_relative_error,
        sparsity=record.sparsity,
        ratio=ratio_to_dense(record),
        measures=measures(record, lambda place: public_name(place, policy)),
        hardware=record.model.hardware if record.model else None,
        versions=record.model.versions if record.model else None,
    )
