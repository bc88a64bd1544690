"""What was rounded stands beside a sweep on an axis of bytes, where it was measured on the same windows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from apt_core import events as ev
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.plots import charts_of, pareto
from apt_core.plots.chart import RunSet
from apt_core.studies.rounded import is_rounded, references
from apt_core.ui.tabs.sweep import _with_rounded
from apt_core.ui.views.run_view import ViewState, _shows
from tests.plots.test_sweep_charts import a_sweep
from tests.runs.fake_worker import evaluated
from tests.ui.ui_helpers import some_events

MODEL = next(event for event in some_events() if isinstance(event, ev.ModelLoaded))
READ = {"text": "wiki-sample", "samples": 8, "length": 64}


def with_losses(measured):
    losses = tuple(2.0 + 0.1 * n for n in range(measured.windows))
    return measured.model_copy(update={"losses": losses})


def sized(subject, on_disk, packed):
    return ev.Sized(
        subject=subject, on_disk=on_disk, compressed=1, packed=packed, resident=on_disk, zstd_level=3
    )


def counted(record):
    """The same run, its bytes counted, measured on READ."""
    job = record.job.model_copy(
        update={"evaluation": make_job("evaluate", model={"id": "m"}, evaluation=READ).evaluation}
    )
    share = job.pattern.sparsity
    changes = {
        "job": job,
        "model": MODEL,
        "evaluated": tuple(map(with_losses, record.evaluated)),
        "sized": (sized("dense", 2_000_000, 2_000_000), sized("pruned", 2_000_000, round(2e6 * (1 - share)))),
    }
    return record.model_copy(update=changes)


def a_counted_sweep():
    runs = a_sweep()
    return RunSet(counted(runs.shown), tuple(map(counted, runs.others)))


def rounded(number, bits="8", model="tiny-llama", perplexity=10.1, status="finished", **reads):
    job = make_job("evaluate", model={"id": model}, evaluation=READ | reads, rounding={"bits": bits})
    found = ev.Rounded(
        bits=int(bits),
        group=128,
        scheme="symmetric",
        weights=1000,
        bits_per_weight=int(bits) + 0.125,
        n_bytes=130_000 * int(bits),
        packed_bytes=80_000 * int(bits),
    )
    return RunRecord(
        id=f"20261127-10000{number}-abcd",
        job=job,
        status=status,
        evaluated=(with_losses(evaluated("model", perplexity)),),
        rounded=found,
        model=MODEL,
    )


def beside(runs, *more):
    return runs._replace(others=(*more, *runs.others))


def test_bytes_are_the_first_axis_once_they_are_known_of_all_runs():
    plot = pareto.figure(a_counted_sweep())
    assert plot.layout.xaxis.title.text == "packed size, MB" and plot.layout.xaxis4.title.text
    counted = [x for trace in plot.data if trace.uid.startswith("packed size, MB") for x in trace.x]
    assert sorted(counted) == pytest.approx([0.4, 0.4, 0.8, 0.8, 1.2, 1.2, 1.6, 1.6])
    half = a_counted_sweep()
    half = half._replace(shown=half.shown.model_copy(update={"sized": ()}))
    assert pareto.figure(half).layout.xaxis.title.text == "weights kept, %"
    assert not [trace for trace in pareto.figure(half).data if trace.uid == "references"]


def test_dense_and_rounded_models_are_diamonds_on_it():
    runs = a_counted_sweep()
    of_a_run = rounded(3, "8", f"run:{runs.shown.id}", 12.0)
    all_of_them = beside(runs, rounded(1, "8"), rounded(2, "4", perplexity=11.0), of_a_run)
    (marks,) = [trace for trace in pareto.figure(all_of_them).data if trace.uid == "references"]
    assert list(marks.text) == ["dense", "dense, 8 bits", f"{runs.shown.job.label}, 8 bits", "dense, 4 bits"]
    assert list(marks.x) == [2.0, 1.04, 0.64, 0.52] and list(marks.y) == [10.0, 10.1, 12.0, 11.0]
    assert "dense, 4 bits (520 kB, perplexity 11.0)" in pareto.summary(all_of_them)
    table, sheet = pareto.table(all_of_them), pareto.sheet(all_of_them)
    assert len(table.rows) == len(sheet.rows) == 8 + 4 and table.rows[-1].cells[-1] == "for reference"
    assert all(len(row.cells) == len(table.heads) == len(table.kinds) for row in table.rows)
    assert pareto.looks(all_of_them) != pareto.looks(runs)


def test_where_nothing_was_rounded_a_sentence_says_how_to_get_it():
    runs = a_counted_sweep()
    assert "evaluate --rounding-bits 8" in pareto.note(runs)
    assert "evaluate" not in pareto.note(beside(runs, rounded(1)))


@pytest.mark.parametrize(
    "other",
    [
        rounded(1, text="wikipedia"),
        rounded(1, skip=3),
        rounded(1, model="tiny-mamba"),
        rounded(1, status="failed"),
        rounded(1).model_copy(update={"model": MODEL.model_copy(update={"dtype": "bfloat16"})}),
        rounded(1).model_copy(update={"evaluated": (evaluated("model", 10.1),)}),
        rounded(1).model_copy(
            update={
                "evaluated": (
                    with_losses(evaluated("model", 10.1)).model_copy(update={"protocol": "another"}),
                )
            }
        ),
    ],
    ids=["text", "windows", "model", "failed", "precision", "no losses", "protocol"],
)
def test_what_was_measured_otherwise_is_not_drawn(other):
    runs = a_counted_sweep()
    assert [one.label for one in references([runs.shown], [other])] == ["dense"]


def test_the_newest_of_each_kind_is_drawn():
    runs = a_counted_sweep()
    found = references([runs.shown], [rounded(2, perplexity=10.3), rounded(1, perplexity=10.1)])
    assert [one.perplexity for one in found] == [10.0, 10.3]
    assert is_rounded(rounded(1)) and not is_rounded(runs.shown)


def test_the_page_of_a_sweep_brings_them():
    """They are of no study: the page looks for them among the newest runs."""
    runs, measured = a_counted_sweep(), rounded(1)
    studio = SimpleNamespace(lately=lambda: [measured, runs.shown])
    assert _with_rounded(studio, list(runs.members)) == [*runs.members, measured]
    assert _with_rounded(studio, []) == []


def test_a_single_run_has_the_chart_once_something_stands_beside_it():
    run = a_counted_sweep().shown.model_copy(update={"study": ""})
    alone, waits = RunSet(run), rounded(2, "4", status="queued")
    assert pareto.CHART not in charts_of(alone)
    pending = RunSet(run, (waits,))
    assert pareto.CHART in charts_of(pending) and pareto.awaited(pending) == (waits,)
    assert "1 more is being measured" in pareto.note(pending)
    done = RunSet(run, (rounded(2, "4"),))
    assert pareto.CHART in charts_of(done) and pareto.awaited(done) == ()
    assert pareto.looks(pending) != pareto.looks(done)
    plot = pareto.figure(done)
    assert plot.layout.xaxis.title.text == "packed size, MB" and "xaxis2" not in plot.layout
    assert pareto.title(done) == "Pruning beside rounding", "one run is no front that it could lead"
    assert "being measured" not in pareto.note(done) and len(pareto.table(done).rows) == 1 + 2


def test_bytes_that_nobody_counted_make_no_chart_of_a_single_run():
    run = a_counted_sweep().shown.model_copy(update={"study": "", "sized": ()})
    assert pareto.CHART not in charts_of(RunSet(run, (rounded(2, "4"), rounded(1, status="queued"))))


def test_the_page_goes_on_watching_while_rounded_models_are_measured():
    run = a_counted_sweep().shown.model_copy(update={"study": ""})
    waits = RunSet(run, (rounded(2, "4", status="queued"),))
    assert _shows(waits, ViewState.of(waits))["live"]
    done = RunSet(run, (rounded(2, "4"),))
    assert not _shows(done, ViewState.of(done))["live"]


def test_names_of_neighbours_stand_above_and_below_in_turns():
    runs = a_counted_sweep()
    of_a_run = rounded(3, "8", f"run:{runs.shown.id}", 12.0)
    plot = pareto.figure(beside(runs, rounded(1, "8"), rounded(2, "4"), of_a_run))
    (marks,) = [trace for trace in plot.data if trace.uid == "references"]
    by_size = [place for _, place in sorted(zip(marks.x, marks.textposition, strict=True))]
    assert [place.split()[0] for place in by_size] == ["top", "bottom", "top", "bottom"]
    assert by_size[0].endswith("right") and by_size[-1].endswith("left")
    assert "What was pruned, by packed size" in pareto.summary(
        RunSet(runs.shown.model_copy(update={"study": ""}), (of_a_run,))
    )
