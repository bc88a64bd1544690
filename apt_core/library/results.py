"""What the library's calls return: the records of the rest of the program, and how a notebook shows them.

Each has a short repr, a view of its own in a notebook, `to_frame()` (pandas), `plot()` (the figures of the page) and
`report()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from apt_core.base import words
from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.base.markup import Markup, join
from apt_core.events.records import RunRecord
from apt_core.measure import layer_shares
from apt_core.studies import compare as comparing
from apt_core.studies import scaling_law

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects as go

    import apt_core.base.hardware as hardware
    import apt_core.cli.allocation as allocation_words
    import apt_core.cli.law as law_words
    import apt_core.cli.report as run_report
    import apt_core.models.load.loading as loading
    import apt_core.plots as plots
    import apt_core.plots.chart as charting
    import apt_core.reports.document as document
    import apt_core.reports.html as html
    import apt_core.reports.markdown as markdown
    import apt_core.reports.run_words as run_words
    import apt_core.reports.writing as writing
else:
    pandas, go = lazy("pandas"), lazy("plotly.graph_objects")
    hardware, loading = lazy("apt_core.base.hardware"), lazy("apt_core.models.load.loading")
    allocation_words, law_words = lazy("apt_core.cli.allocation"), lazy("apt_core.cli.law")
    run_report, plots = lazy("apt_core.cli.report"), lazy("apt_core.plots")
    charting, document = lazy("apt_core.plots.chart"), lazy("apt_core.reports.document")
    html, markdown = lazy("apt_core.reports.html"), lazy("apt_core.reports.markdown")
    run_words, writing = lazy("apt_core.reports.run_words"), lazy("apt_core.reports.writing")


class Record(RunRecord):
    """A run and everything that it measured. `weights` is the folder of what it made, None where it made nothing."""

    _weights: Path | None = PrivateAttr(None)

    @classmethod
    def of(cls, record: RunRecord, weights: Path | None) -> Record:
        made = cls.model_construct(**dict(record))
        made._weights = weights
        return made

    @property
    def weights(self) -> Path | None:
        return self._weights

    def __repr__(self) -> str:
        model = self.model.title if self.model else self.job.model.id
        said = [model, *filter(None, (self.job.label, self.status, _perplexity(self)))]
        return f"<Run {self.id}: {' · '.join(said)}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        title = run_words.run_title(self, lambda run_id: None)
        rows = [(one.name, one.value, one.said) for one in run_words.figures(self)]
        parts = [
            Markup("<b>{}</b><br>").format(run_words.headline_sentence(self, title)),
            _table(("", "", ""), rows),
            _errors(self) or _bars(self),
            Markup("<p>{}</p>").format(run_words.honest_sentence(self)) if run_words.prunes(self) else "",
            *(Markup("<p>{}</p>").format(said) for said in run_words.warnings(self)),
            Markup('<p style="opacity:.7">{}</p>').format(f"Run {self.id} · {self.status}"),
        ]
        return str(join(filter(None, parts)))

    def to_frame(self) -> pandas.DataFrame:
        """A row for each pruned layer; of a run that prunes none, for each text that it measured."""
        rows = self.layers or self.evaluated
        return pandas.DataFrame([one.model_dump(exclude={"kind", "losses"}) for one in rows])

    @property
    def charts(self) -> tuple[str, ...]:
        """The names that `plot` takes."""
        return tuple(chart.name for chart in plots.charts_of(charting.RunSet(self)))

    def plot(self, chart: str = "") -> go.Figure:
        """A figure of the run's page, the first of `charts` where none is named."""
        return _figure(charting.RunSet(self), chart)

    def load_model(self, device: str = "auto", dtype: str = "auto") -> tuple[Any, Any]:
        """(model, tokenizer) of what the run made; raises BadInput where that is gone or was not kept."""
        if self._weights is None or not self._weights.is_dir():
            raise BadInput(f"Run {self.id} has no weights (any more), so there is no model to load.")
        used = hardware.choose_device(device)
        return loading.load(self._weights, hardware.choose_dtype(used, dtype), used)

    def report(self, file: str | Path | None = None, replace: bool = False) -> str | Path:
        """The run as text; with a file (.html or .md) the report of the page, written there.

        replace: also over a file that is there already.
        """
        if file is None:
            return run_report.report(self, str(self._weights) if self._weights else None)
        return _written([self], file, replace)


class Comparison(comparing.Comparison):
    """Runs beside one another, each against the first."""

    _members: tuple[RunRecord, ...] = PrivateAttr(())

    @classmethod
    def of(cls, found: comparing.Comparison, members: Sequence[RunRecord]) -> Comparison:
        made = cls.model_construct(**dict(found))
        made._members = tuple(members)
        return made

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.runs)} runs: {'; '.join(one.title for one in self.runs)}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        head = ("run", "what", "status", "perplexity", "over dense")
        rows = [
            (one.run, one.title, one.status, _made(one), words.times(one.ratio.ratio if one.ratio else None))
            for one in self.runs
        ]
        said = join(Markup("<p>{}</p>").format(one) for one in comparing.sentences(self._members))
        return str(_table(head, rows) + said)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each perplexity: of which run, of which model, on which text."""
        return pandas.DataFrame(
            [
                {"run": one.run, "title": one.title, **perplexity.model_dump()}
                for one in self.runs
                for perplexity in one.perplexities
            ]
        )

    @property
    def charts(self) -> tuple[str, ...]:
        """The names that `plot` takes."""
        return tuple(chart.name for chart in plots.charts_of(self._set()))

    def plot(self, chart: str = "") -> go.Figure:
        """A figure of the page of a comparison, the first of `charts` where none is named."""
        return _figure(self._set(), chart)

    def report(self, file: str | Path | None = None, replace: bool = False) -> str | Path:
        """In words; with a file (.html or .md) the report of the page, written there."""
        if file is None:
            return "\n".join(comparing.sentences(self._members))
        return _written(self._members, file, replace)

    def _set(self) -> charting.RunSet:
        return charting.RunSet(self._members[0], self._members[1:], compare=True)


class LayerShares(layer_shares.LayerShares):
    """What an allocation gives each layer."""

    @classmethod
    def of(cls, found: layer_shares.LayerShares) -> LayerShares:
        return cls.model_construct(**dict(found))

    def __repr__(self) -> str:
        return (
            f"<Allocation {self.allocation} of {self.title} at {self.pattern}: {len(self.layers)} layers, "
            f"{words.percent(self.sparsity)} removed>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        spread = [one.sparsity for one in self.layers]
        ends = f"{words.percent(min(spread))} to {words.percent(max(spread))}" if spread else words.DASH
        head = f"{self.allocation}, {self.title} at {self.pattern}"
        said = f"{head}: {ends} a layer, {words.percent(self.sparsity)} in all"
        return str(
            Markup("<b>{}</b><br>").format(said) + _points([(one.block, one.sparsity) for one in self.layers])
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row for each layer."""
        return pandas.DataFrame([one.model_dump() | {"removed": one.removed} for one in self.layers])

    def plot(self) -> go.Figure:
        """Sparsity over blocks, a line for each kind of layer."""
        kinds = dict.fromkeys(one.layer for one in self.layers)
        lines = [
            (kind, [(one.block, one.sparsity) for one in self.layers if one.layer == kind]) for kind in kinds
        ]
        return _lines(lines, "block", "sparsity")

    def report(self) -> str:
        """As `apt-studio allocation` prints it."""
        return allocation_words.as_text(self)


class Laws(scaling_law.Laws):
    """The law of each group of recoveries."""

    _members: tuple[RunRecord, ...] = ()

    @classmethod
    def of(cls, found: scaling_law.Laws, members: Iterable[RunRecord]) -> Laws:
        made = cls(*found)
        made._members = tuple(members)
        return made

    def __repr__(self) -> str:
        return f"<Laws: {'; '.join(f'{law.label}: {law.fit.form.formula}' for law in self.laws)}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        head = ("constant", "value", "95% interval")
        parts = [Markup("<p>{}</p>").format(self.apart)] if self.apart else []
        for law in self.laws:
            fit = law.fit
            rows = [
                (
                    name,
                    words.number(value),
                    f"{words.number(fit.low[name])} to {words.number(fit.high[name])}",
                )
                for name, value in fit.constants.items()
            ]
            answers = join(Markup("<p>{}</p>").format(scaling_law.within_sentence(one)) for one in law.within)
            parts += [
                Markup("<b>{}</b><p>{}</p>").format(law.label, scaling_law.form_sentence(fit)),
                _table(head, rows),
                answers,
                Markup("<p>{}</p>").format(scaling_law.check_sentence(law.check)),
            ]
        return str(join([*parts, *(Markup("<p>{}</p>").format(one) for one in self.left_out)]))

    def to_frame(self) -> pandas.DataFrame:
        """A row for each constant of each law, with its 95% interval."""
        return pandas.DataFrame(
            [
                {
                    "law": law.label,
                    "constant": name,
                    "value": value,
                    "low": law.fit.low[name],
                    "high": law.fit.high[name],
                }
                for law in self.laws
                for name, value in law.fit.constants.items()
            ]
        )

    def plot(self) -> go.Figure:
        """The measured losses over tokens as points, and each law through its own curves."""
        plot = _lines([], "tokens", "loss").update_xaxes(type="log")
        for law in self.laws:
            for curve in filter(None, law.chosen.curves):
                tokens = [point.tokens for point in curve]
                name = curve[0].run
                plot.add_scatter(x=tokens, y=[point.loss for point in curve], name=name, mode="markers")
                fitted = [law.fit.at(curve[-1], one) for one in tokens]
                plot.add_scatter(x=tokens, y=fitted, name=f"law of {name}", mode="lines")
        return plot

    def report(self) -> str:
        """As `apt-studio law` prints it."""
        return law_words.as_text(self)


# ---- shared by them


def _perplexity(record: RunRecord) -> str:
    if record.dense and record.made and record.ratio:
        return (
            f"perplexity {words.number(record.dense.perplexity)} → {words.number(record.made.perplexity)} "
            f"({words.times(record.ratio)})"
        )
    return f"perplexity {words.number(record.made.perplexity)}" if record.made else ""


def _made(one: comparing.ComparedRun) -> str:
    """The perplexity of what a run made, on its first text."""
    last = one.perplexities[-1].subject if one.perplexities else ""
    found = next((each for each in one.perplexities if each.subject == last), None)
    return words.number(found.perplexity if found else None)


def _written(members: Sequence[RunRecord], file: str | Path, replace: bool) -> Path:
    """The report of these runs; raises CannotWrite, BadInput for what is neither HTML nor Markdown."""
    place = Path(file).expanduser().absolute()
    forms: dict[str, Callable[[Any], str]] = {".html": html.to_html, ".md": markdown.to_markdown}
    if place.suffix not in forms:
        raise BadInput(f"A report is a file that ends in .html or .md, not {place.name!r}.")
    writing.check_file(place, replace)
    said = document.document_of(list(members), lambda one: run_words.run_title(one, lambda run_id: None))
    with writing.new_file(place, replace) as partial:
        partial.write_text(forms[place.suffix](said), encoding="utf-8")
    return place


def _figure(runs: charting.RunSet, name: str) -> go.Figure:
    found = plots.charts_of(runs)
    chosen = next((chart for chart in found if name in ("", chart.name)), None)
    if chosen is None:
        known = ", ".join(chart.name for chart in found)
        raise BadInput(f"There is no chart {name[:40]!r} of this; the charts are {known or 'none yet'}.")
    return chosen.figure(runs).update_layout(title=chosen.title(runs), margin={"t": 80})


def _lines(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], across: str, up: str) -> go.Figure:
    plot = go.Figure(
        [
            go.Scatter(name=name, x=[x for x, _ in points], y=[y for _, y in points], mode="lines+markers")
            for name, points in lines
        ]
    )
    return plot.update_layout(xaxis_title=across, yaxis_title=up)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    head = join(Markup("<th>{}</th>").format(one) for one in heads) if any(heads) else Markup("")
    body = join(
        Markup("<tr>{}</tr>").format(
            join(Markup('<td style="text-align:left">{}</td>').format(one) for one in row)
        )
        for row in rows
    )
    return Markup("<table>{}{}</table>").format(head, body)


def _errors(record: RunRecord) -> Markup:
    """A small chart: the relative error of each layer over the blocks."""
    found = [(one.block, math.log10(one.relative_error)) for one in record.layers if one.relative_error > 0]
    if len(found) < 2:
        return Markup("")
    return _points(found) + Markup('<div style="opacity:.7">{}</div>').format(
        "relative error of each layer over the blocks, logarithmic"
    )


def _points(points: Sequence[tuple[float, float]]) -> Markup:
    wide, high, edge = 420, 90, 6
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, top = min(y for _, y in points), max(y for _, y in points)
    dots = join(
        Markup('<circle cx="{}" cy="{}" r="2.5"/>').format(
            f"{edge + (wide - 2 * edge) * (x - left) / (right - left or 1):.1f}",
            f"{high - edge - (high - 2 * edge) * (y - low) / (top - low or 1):.1f}",
        )
        for x, y in points
    )
    return Markup('<svg width="{}" height="{}" fill="currentColor" opacity="0.7">{}</svg>').format(
        wide, high, dots
    )


def _bars(record: RunRecord) -> Markup:
    """A small chart: a bar for each perplexity on the first text."""
    first = [next(iter(record.evaluated_on(subject)), None) for subject in record.job.subjects]
    found = [one for one in first if one is not None]
    if len(found) < 2:
        return Markup("")
    most = max(one.perplexity for one in found)
    rows = [
        Markup(
            '<rect x="90" y="{}" height="14" width="{}"/><text x="0" y="{}" font-size="12">{}</text>'
        ).format(20 * place, f"{300 * one.perplexity / most:.1f}", 20 * place + 12, one.subject)
        for place, one in enumerate(found)
    ]
    return Markup('<svg width="420" height="{}" fill="currentColor" opacity="0.7">{}</svg>').format(
        20 * len(found), join(rows)
    )
