"""What several runs kept of their dense model and what that saves, as tables and as numbers."""

from __future__ import annotations

import pytest

from apt_core import events as ev
from apt_core.events.records import RunRecord, fold
from apt_core.plots.chart import RunLink
from apt_core.reports.outcomes import (
    outcome_tables,
    outcomes,
    outcomes_note,
    outcomes_sheet,
    tasks,
    tasks_sheet,
)
from tests.studies.compared_runs import (
    DENSE,
    FIRST,
    OTHER,
    THIRD,
    evaluated,
    events_of,
    job_of,
    measured_run,
    worse,
)
from tests.ui.ui_helpers import stamped

SIZES = [
    ev.Sized(subject="dense", on_disk=1_000_000, compressed=800, packed=1010, resident=900, zstd_level=3),
    ev.Sized(subject="pruned", on_disk=1_000_000, compressed=600, packed=563_000, resident=900, zstd_level=3),
]
APART = ev.Diverged(
    text="wikipedia", windows=6, length=512, tokens=6 * 511, kl=0.2, agreement=0.75,
    agreement_low=0.7, agreement_high=0.8,
)  # fmt: skip


def in_turns(prefill: float, decode: float) -> list[ev.Event]:
    return [
        ev.Measured(
            subject=subject,
            tokens_per_second=10.0 * by,
            bytes_on_disk=1_000_000,
            prefill=ev.Speed(median=100.0 * over, low=99.0 * over, high=101.0 * over, repeats=4),
            decode=ev.Speed(median=10.0 * by, low=9.9 * by, high=10.1 * by, repeats=4),
        )
        for subject, over, by in (("dense", 1.0, 1.0), ("pruned", prefill, decode))
    ]


def a_run(run_id: str, *more: ev.Event, by: float = 0.2, **job) -> RunRecord:
    events = events_of(evaluated("dense", DENSE), evaluated("pruned", worse(by)))
    return fold(RunRecord(id=run_id, job=job_of(**job)), stamped([*events, *more]))


def scored(value: float, task: str = "arc_easy", examples: int = 100) -> ev.TaskScored:
    return ev.TaskScored(
        task=task, metric="acc", value=value, stderr=0.05, examples=examples, shots=0, version="1.0",
        harness="lm-eval 1",
    )  # fmt: skip


def cells(table) -> dict[str, dict[str, str]]:
    """First cell -> head -> what it says."""
    said = [[cell.text if isinstance(cell, RunLink) else cell for cell in row.cells] for row in table.rows]
    return {row[0]: dict(zip(table.heads[1:], row[1:], strict=True)) for row in said}


def test_one_row_for_each_run_with_what_was_measured():
    found = outcomes([a_run(FIRST, *SIZES, APART, *in_turns(1.5, 1.0)), a_run(OTHER, by=0.4, method="wanda")])
    rows = cells(found)
    assert rows["APT · 2:4"] == {
        "perplexity over dense": "1.22 × (1.22 to 1.23)",
        "agreement": "75% (70% to 80%)",
        "KL": "0.200",
        "on disk": "1.00 MB",
        "smaller as it is": "no",
        "packed": "563 kB",
        "prompt": "1.50 ×",
        "answer": "no difference",
    }
    assert rows["Wanda · 2:4"]["agreement"] == "–" and rows["Wanda · 2:4"]["prompt"] == "–"
    assert [row.cells[0].run_id for row in found.rows] == [FIRST, OTHER]


def test_what_nobody_measured_is_no_column():
    found = outcomes([a_run(FIRST), a_run(OTHER, seed=1)])
    assert "KL" not in found.heads and "packed" not in found.heads and "perplexity over dense" in found.heads
    assert outcomes([measured_run(FIRST), measured_run(OTHER)]) is None


def test_a_rounded_model_is_as_large_as_it_would_be():
    rounded = ev.Rounded(
        bits=4, group=128, scheme="symmetric", weights=9, bits_per_weight=4.1, n_bytes=400_000,
        packed_bytes=300_000,
    )  # fmt: skip
    eight = measured_run(OTHER).model_copy(update={"rounded": rounded})
    records = [a_run(FIRST, *SIZES), eight]
    row = list(cells(outcomes(records)).values())[1]
    assert (row["on disk"], row["packed"], row.get("agreement", "–")) == (
        "400 kB",
        "300 kB",
        "–",
    )
    assert "computed" in outcomes_note(records) and "computed" not in outcomes_note(records[:1])


def test_runs_of_two_machines_say_that_their_speeds_do_not_compare():
    one, two = a_run(FIRST), a_run(OTHER)
    elsewhere = two.model_copy(update={"model": two.model.model_copy(update={"hardware": "another"})})
    assert "different machines" in outcomes_note([one, elsewhere])
    assert "different machines" not in outcomes_note([one, two])


def test_tasks_stand_beside_one_another_where_they_were_measured_alike():
    one = measured_run(FIRST).model_copy(update={"scored": (scored(0.5), scored(0.3, "piqa"))})
    two = measured_run(OTHER).model_copy(update={"scored": (scored(0.4), scored(0.25, "piqa", examples=20))})
    rows = {row.cells[0]: row.cells[1:] for row in tasks([one, two, a_run(THIRD)]).rows}
    assert rows["arc_easy, acc (100 examples, 0 shots, version 1.0, lm-eval 1)"] == (
        "0.500 ± 0.0500",
        "0.400 ± 0.0500",
    )
    assert rows["piqa, acc (100 examples, 0 shots, version 1.0, lm-eval 1)"][1] == "–"
    assert rows["piqa, acc (20 examples, 0 shots, version 1.0, lm-eval 1)"][0] == "–"
    assert tasks([a_run(FIRST)]) is None and len(list(outcome_tables([one, a_run(THIRD)]))) == 2
    sheet = tasks_sheet([one, two])
    assert len(sheet.rows) == 4 and dict(zip(sheet.heads, sheet.rows[0], strict=True))["value"] == 0.5


def test_as_numbers():
    sheet = outcomes_sheet([a_run(FIRST, *SIZES, APART, *in_turns(1.5, 1.0)), measured_run(OTHER)])
    first, other = (dict(zip(sheet.heads, row, strict=True)) for row in sheet.rows)
    assert first["ratio"] == pytest.approx(2.7182818**0.2025, rel=1e-6)
    assert (first["kl"], first["agreement"], first["bytes_packed"]) == (0.2, 0.75, 563_000)
    assert (first["prefill_over_dense"], first["decode_over_dense"], first["speed"]) == (1.5, None, "as fast")
    assert other["run"] == OTHER and other["ratio"] == 1 and other["kl"] is None
