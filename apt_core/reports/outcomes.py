"""What each of several runs kept of its dense model and what it saves: tables and sheets. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from apt_core.base.words import DASH, number, percent, size, times
from apt_core.events import Diverged, TaskScored
from apt_core.events.records import RunRecord
from apt_core.plots.chart import Row, RunLink, Sheet, Table
from apt_core.reports.verdict import Verdict, steady, verdict_of
from apt_core.studies.names import names_of
from apt_core.studies.ratios import Ratio, ratio_among, ratio_words

_TERMS = (
    "Perplexity over dense is on the first text of each run. Agreement: the share of positions at which the likeliest "
    "next token is the dense model's. KL: nats a token from the dense model's next-token distributions. Prompt and "
    "answer: tokens a second over those of the dense model in the same turns."
)
_COMPUTED = "Sizes of rounded models are computed, scales counted."
_MACHINES = (
    "These runs worked on different machines, so their speeds compare only with their own dense model's."
)


class _Column(NamedTuple):
    head: str
    said: Callable[[_Outcome], str]


class _Outcome(NamedTuple):
    """What is known of one run."""

    record: RunRecord
    ratio: Ratio | None
    apart: Diverged | None
    verdict: Verdict | None

    @classmethod
    def all_of(cls, records: Sequence[RunRecord]) -> list[_Outcome]:
        return [
            cls(one, ratio_among(one, records), next(iter(one.diverged), None), verdict_of(one))
            for one in records
        ]

    @property
    def on_disk(self) -> int | None:
        if self.record.rounded:
            return self.record.rounded.n_bytes
        return self.record.pruned_speed.bytes_on_disk if self.record.pruned_speed else None

    @property
    def packed(self) -> int | None:
        if self.record.rounded:
            return self.record.rounded.packed_bytes
        found = self.record.size_of("pruned")
        return found.packed if found else None


def outcomes(records: Sequence[RunRecord]) -> Table | None:
    """One row for each run, a column for whatever is known of one of them; None where nothing is."""
    names = names_of(records)
    found = _Outcome.all_of(records)
    columns = [one for one in _COLUMNS if any(one.said(outcome) != DASH for outcome in found)]
    if not columns:
        return None
    rows = tuple(
        Row((RunLink(one.record.id, names[one.record.id]), *(column.said(one) for column in columns)))
        for one in found
    )
    heads = ("run", *(column.head for column in columns))
    return Table("Against the dense model", heads, rows, "t" + "n" * len(columns))


def outcomes_note(records: Sequence[RunRecord]) -> str:
    """What the columns mean, and what keeps their numbers from being compared."""
    machines = {record.model.hardware for record in records if record.pruned_speed and record.model}
    rounded = any(record.rounded for record in records)
    return " ".join(
        filter(None, (_TERMS, _COMPUTED if rounded else "", _MACHINES if len(machines) > 1 else ""))
    )


def outcomes_sheet(records: Sequence[RunRecord]) -> Sheet:
    """The same as numbers."""
    heads = (
        *("run", "name", "ratio", "ratio_low", "ratio_high"),
        *("agreement", "agreement_low", "agreement_high", "kl", "kl_low", "kl_high"),
        *("bytes_on_disk", "bytes_packed", "prefill_over_dense", "decode_over_dense", "smaller", "speed"),
    )
    names = names_of(records)
    return Sheet(heads, tuple(_numbers(one, names[one.record.id]) for one in _Outcome.all_of(records)))


def tasks(records: Sequence[RunRecord]) -> Table | None:
    """Zero-shot tasks, one row for each metric and way to measure it, one column for each run; None without any."""
    measured = [record for record in records if record.scored]
    if not measured:
        return None
    names = names_of(records)
    values = [{_task(one): one for one in record.scored} for record in measured]
    rows = tuple(
        Row((task, *(_score(of.get(task)) for of in values)))
        for task in dict.fromkeys(task for of in values for task in of)
    )
    heads = ("task", *(names[record.id] for record in measured))
    return Table(
        "Zero-shot tasks, each value with its standard error", heads, rows, "t" + "n" * len(measured)
    )


def tasks_sheet(records: Sequence[RunRecord]) -> Sheet:
    """One row for each metric of each run."""
    fields = tuple(name for name in TaskScored.model_fields if name != "kind")
    names = names_of(records)
    rows = (
        (record.id, names[record.id], *(getattr(one, field) for field in fields))
        for record in records
        for one in record.scored
    )
    return Sheet(("run", "name", *fields), tuple(rows))


def outcome_tables(records: Sequence[RunRecord]) -> Iterator[Table]:
    """Both tables, where there is anything in them."""
    yield from filter(None, (outcomes(records), tasks(records)))


def _agreement(one: _Outcome) -> str:
    found = one.apart
    if found is None or found.agreement_low is None or found.agreement_high is None:
        return percent(found.agreement if found else None)
    between = f"{percent(found.agreement_low)} to {percent(found.agreement_high)}"
    return f"{percent(found.agreement)} ({between})"


def _pace(which: str) -> Callable[[_Outcome], str]:
    """which: prefill or decode. A factor; where no difference shows, whether it would if there were one."""

    def said(one: _Outcome) -> str:
        sides = (one.record.dense_speed, one.record.pruned_speed)
        speeds = [found for side in sides if side and (found := getattr(side, which)) is not None]
        if len(speeds) < len(sides):
            return DASH
        dense, pruned = speeds
        if (ratio := pruned.over(dense)) is not None:
            return times(ratio)
        return "no difference" if steady(dense, pruned) else "not measurable"

    return said


_SMALLER = {True: "yes", False: "no", None: DASH}
_COLUMNS = (
    _Column("perplexity over dense", lambda one: ratio_words(one.ratio)),
    _Column("agreement", _agreement),
    _Column("KL", lambda one: number(one.apart.kl if one.apart else None)),
    _Column("on disk", lambda one: size(one.on_disk)),
    _Column("smaller as it is", lambda one: _SMALLER[one.verdict.smaller if one.verdict else None]),
    _Column("packed", lambda one: size(one.packed)),
    _Column("prompt", _pace("prefill")),
    _Column("answer", _pace("decode")),
)


def _numbers(one: _Outcome, name: str) -> tuple[object, ...]:
    ratio, apart, verdict = one.ratio, one.apart, one.verdict
    return (
        *(one.record.id, name),
        *((ratio.ratio, ratio.low, ratio.high) if ratio else (None,) * 3),
        *((apart.agreement, apart.agreement_low, apart.agreement_high) if apart else (None,) * 3),
        *((apart.kl, apart.kl_low, apart.kl_high) if apart else (None,) * 3),
        *(one.on_disk, one.packed),
        *((verdict.prefill, verdict.decode, verdict.smaller, verdict.speed) if verdict else (None,) * 4),
    )


def _task(one: TaskScored) -> str:
    how = f"{one.examples} examples, {one.shots} shots, version {one.version}, {one.harness}"
    return f"{one.task}, {one.metric} ({how})"


def _score(one: TaskScored | None) -> str:
    if one is None:
        return DASH
    return number(one.value) + (f" ± {number(one.stderr)}" if one.stderr is not None else "")
