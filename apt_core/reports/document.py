"""A report as data: of one run, of several, or of a study; `html` and `markdown` draw it. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import plotly.graph_objects as go

from apt_core import __version__
from apt_core.base.errors import BadInput
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.words import DASH, STATUS_WORDS, number, sentence, tally, times, verdict
from apt_core.events import Answers, Evaluated
from apt_core.events.records import RunRecord
from apt_core.plots import charts_of, costs
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Table
from apt_core.reports import reproduce, run_words
from apt_core.reports.names import stem_of_all
from apt_core.reports.outcomes import outcome_tables, outcomes_note
from apt_core.reports.run_words import Figure
from apt_core.studies.comparable import same_task
from apt_core.studies.compare import FEWEST, MOST, sentences
from apt_core.studies.differing import differing_fields, said
from apt_core.studies.names import names_of
from apt_core.texts.titles import text_title

TitleOf = Callable[[RunRecord], str]
_OVERVIEW = (
    *("run", "perplexity before", "after", "95% interval", "ratio"),
    *("measured on", "protocol", "seed", "status"),
)


class ChartPart(NamedTuple):
    """A chart with its words and its numbers. id: unique in the report, letters, digits and dashes."""

    id: str
    title: str
    summary: str
    note: str
    figure: go.Figure
    table: Table


class Section(NamedTuple):
    """One run. facts: everything that decided its numbers, and where they were measured."""

    run_id: str
    title: str
    band: str
    verdict: str
    asked: str
    conditions: str
    failure: str
    figures: tuple[Figure, ...]
    questions: tuple[Answers, ...]
    sizes: tuple[tuple[str, str, str], ...]
    honest: str
    warnings: tuple[str, ...]
    charts: tuple[ChartPart, ...]
    facts: tuple[tuple[str, str], ...]
    command: str
    python: str


class Document(NamedTuple):
    """overview, differing, paired, outcomes and shared: of several runs only. left_out: what is not in it, and why;
    usually empty."""

    title: str
    stem: str  # what its file is called, without an ending
    made: str
    overview: Table | None
    shared: tuple[ChartPart, ...]
    sections: tuple[Section, ...]
    differing: Table | None = None  # the fields in which the jobs differ
    paired: tuple[str, ...] = ()  # each run against the first, window by window
    left_out: str = ""
    outcomes: tuple[Table, ...] = ()  # what each kept of the dense model and what it saves
    outcomes_note: str = ""

    @property
    def runs(self) -> frozenset[str]:
        return frozenset(section.run_id for section in self.sections)

    @property
    def charts(self) -> tuple[ChartPart, ...]:
        return (*self.shared, *(chart for section in self.sections for chart in section.charts))

    def drawn_by(self, kinds: Collection[str], why: str) -> Document:
        """The same without the shared charts that have a trace of another kind."""
        shared = tuple(one for one in self.shared if {trace.type for trace in one.figure.data} <= set(kinds))
        return self if shared == self.shared else self._replace(shared=shared, left_out=why)

    def brief(self, why: str) -> Document:
        """The same without the charts and tables of single runs."""
        sections = tuple(section._replace(charts=()) for section in self.sections)
        return self._replace(sections=sections, left_out=" ".join(filter(None, (self.left_out, why))))


def document_of(
    records: Sequence[RunRecord],
    title_of: TitleOf,
    policy: HostPolicy = STRICT,
    now: datetime | None = None,
) -> Document:
    """The report of these runs. Raises BadInput where none of them has a number yet."""
    records = list({record.id: record for record in records}.values())
    if not any(map(run_words.has_numbers, records)):
        raise BadInput(_nothing(records))
    titles = _titles(records, title_of)
    kept = tuple(outcome_tables(records)) if len(records) > 1 else ()
    return Document(
        title=_title(records, titles),
        stem=stem_of_all(records, titles),
        made=f"Made by APT Studio {__version__} on {(now or datetime.now(UTC)):%Y-%m-%d %H:%M UTC}.",
        overview=_overview(records, titles) if len(records) > 1 else None,
        differing=_differing(records, policy),
        paired=tuple(sentences(records)) if _can_be_compared(records) else (),
        outcomes=kept,
        outcomes_note=outcomes_note(records) if kept else "",
        shared=_all_shared(records),
        sections=tuple(
            _section(record, title, policy) for record, title in zip(records, titles, strict=True)
        ),
    )


def _titles(records: Sequence[RunRecord], title_of: TitleOf) -> list[str]:
    """A run that has not opened its model yet is called as others of the same model are."""
    opened = {record.job.model: title_of(record) for record in records if record.model}
    return [opened.get(record.job.model) or title_of(record) for record in records]


def _nothing(records: Sequence[RunRecord]) -> str:
    if not records:
        return "There is nothing to report: no run was named."
    if len(records) == 1:
        record = records[0]
        return f"Run {record.id} is {STATUS_WORDS[record.status]} and has no numbers to report yet."
    return f"None of these {tally(len(records))} runs has a number to report yet."


def _title(records: Sequence[RunRecord], titles: Sequence[str]) -> str:
    if len(records) == 1:
        return f"{titles[0]} · {records[0].job.label}"
    of = titles[0] if len(set(titles)) == 1 else "several models"
    return f"{tally(len(records)).capitalize()} runs of {of}"


def _section(record: RunRecord, title: str, policy: HostPolicy) -> Section:
    sized = run_words.compares_sizes(record)
    return Section(
        run_id=record.id,
        title=f"{title} · {record.job.label}",
        band=verdict(record.ratio).replace(" ", "-") if record.ratio is not None else record.status,
        verdict=run_words.headline_sentence(record, title),
        asked=run_words.asked(record, title),
        conditions=run_words.conditions(record),
        failure=sentence(record.failure.message) if record.failure else "",
        figures=run_words.figures(record),
        questions=record.questions,
        sizes=run_words.sizes(record) if sized else (),
        honest=run_words.honest_sentence(record) if sized else "",
        warnings=tuple(run_words.warnings(record)),
        charts=tuple(_part(chart, RunSet(record)) for chart in charts_of(RunSet(record))),
        facts=tuple(stamped_facts(record, policy)),
        command=reproduce.command(record.job, policy=policy),
        python=reproduce.python_source([record.job], policy),
    )


def stamped_facts(record: RunRecord, policy: HostPolicy = STRICT) -> list[tuple[str, str]]:
    """How the run was made, and what its numbers stand for: seed, windows as measured, protocol."""
    facts = run_words.provenance(record, policy)
    facts += [("perplexity", _stamp(one)) for one in record.evaluated]
    if measured := run_words.conditions(record):
        facts.append(("measured", measured))
    return facts


def _stamp(one: Evaluated) -> str:
    """'dense 14.9 (13.8 to 16.1), 12 windows of 1024 tokens of Wikipedia summaries, protocol joined-v1'."""
    between = f" ({_interval(one)})" if one.low is not None else ""
    how = f"{one.windows} windows of {one.length} tokens of {text_title(one.text)}, protocol {one.protocol}"
    reused = ", measured by an earlier run" if one.reused else ""
    return f"{one.subject} {number(one.perplexity)}{between}, {how}{reused}"


def _interval(one: Evaluated) -> str:
    return f"{number(one.low)} to {number(one.high)}" if one.low is not None else DASH


def _can_be_compared(records: Sequence[RunRecord]) -> bool:
    return FEWEST <= len(records) <= MOST


def _differing(records: Sequence[RunRecord], policy: HostPolicy) -> Table | None:
    """One row for each field in which the jobs differ, one column for each run."""
    found = differing_fields(records, policy).differing if _can_be_compared(records) else {}
    if not found:
        return None
    names = names_of(records)
    rows = tuple(Row((path, *(said(of[run.id]) for run in records))) for path, of in found.items())
    heads = ("field", *(names[run.id] for run in records))
    return Table("What the runs were asked for, where they differ", heads, rows, "t" * len(heads))


def _all_shared(records: Sequence[RunRecord]) -> tuple[ChartPart, ...]:
    """The charts of the sweep, then those of the comparison that it has not got, then those of a race."""
    sweep = _of_the_sweep(records)
    return (*sweep, *_compared(records, of_costs=not sweep), *_shared(records))


def _of_the_sweep(records: Sequence[RunRecord]) -> tuple[ChartPart, ...]:
    """The charts of a sweep, where these are runs of one: perplexity against sparsity, the Pareto front, parallel
    axes. A race has its own."""
    first, *others = records
    alike = all(same_task(first, other) for other in others)
    if not first.study or alike or any(other.study != first.study for other in others):
        return ()
    runs = RunSet(first, tuple(others), study=True)
    return tuple(_part(chart, runs) for chart in charts_of(runs))


def _compared(records: Sequence[RunRecord], of_costs: bool) -> tuple[ChartPart, ...]:
    """The charts of a comparison: perplexities, costs, curves over the blocks, the difference of two runs. of_costs:
    whether costs are not drawn of the whole sweep already."""
    measured = [record for record in records if run_words.has_numbers(record)]
    if not _can_be_compared(measured):
        return ()
    runs = RunSet(measured[0], tuple(measured[1:]), compare=True)
    return tuple(
        _part(chart, runs) for chart in charts_of(runs) if of_costs or chart.name != costs.CHART.name
    )


def _shared(records: Sequence[RunRecord]) -> tuple[ChartPart, ...]:
    """The charts that draw several of these runs, each once; those of a sweep are drawn of all of it."""
    found: dict[str, ChartPart] = {}
    for record in records:
        others = tuple(other for other in records if other.id != record.id)
        runs = RunSet(record, others)
        for chart in charts_of(runs):
            if chart.name not in found and chart.rivals(runs) and not chart.of_study:
                found[chart.name] = _part(chart, runs)
    return tuple(found.values())


def _part(chart: Chart, runs: RunSet) -> ChartPart:
    return ChartPart(
        id=f"{chart.name}-{_whose(runs)}",
        title=chart.title(runs),
        summary=chart.summary(runs),
        note=chart.note(runs),
        figure=chart.figure(runs),
        table=chart.table(runs),
    )


def _whose(runs: RunSet) -> str:
    if runs.compare or runs.study:
        return "compared" if runs.compare else "sweep"
    return runs.shown.id


def _overview(records: Sequence[RunRecord], titles: Sequence[str]) -> Table:
    rows = tuple(_row(record, title) for record, title in zip(records, titles, strict=True))
    return Table(f"{tally(len(records)).capitalize()} runs", _OVERVIEW, rows, "tnnnntttt")


def _row(record: RunRecord, title: str) -> Row:
    """On the first text; the last model that was measured is the one that the interval is of."""
    before, *later = (next(iter(record.evaluated_on(subject)), None) for subject in record.job.subjects)
    after = later[-1] if later else None
    last = after or before
    seed = DASH if record.job.drawn_by is None else str(record.job.drawn_by)
    return Row(
        (
            RunLink(record.id, f"{title} · {record.job.label}"),
            number(before.perplexity if before else None),
            number(after.perplexity if after else None),
            _interval(last) if last else DASH,
            times(record.ratio),
            f"{last.windows} × {last.length} of {text_title(last.text)}" if last else DASH,
            last.protocol if last else DASH,
            seed,
            STATUS_WORDS[record.status],
        )
    )
