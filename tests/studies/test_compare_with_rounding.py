"""Which rounded models are measured to stand beside a run or a sweep: on its windows, each once, the best of many."""

from __future__ import annotations

import pytest

from apt_core.base.errors import BadInput
from apt_core.estimate.preflight import Estimate
from apt_core.jobs import make_job
from apt_core.studies.rounded import on_their_way, references, rounds
from apt_core.studies.rounding import comparable, rounding_jobs
from apt_core.studies.study_estimate import in_a_row
from tests.plots.test_rounded_beside import READ, a_counted_sweep, counted, rounded
from tests.plots.test_sweep_charts import record

HALF = {"kind": "unstructured", "sparsity": 0.5}
RUN = counted(record(1, make_job("prune", model={"id": "tiny-llama"}, method="apt", pattern=HALF), 12.0))


def everything(run_id):
    return True


def asked(jobs):
    return [(job.model.id, job.rounding.number) for job in jobs]


def test_of_a_run_the_dense_model_at_8_and_4_bits_and_the_pruned_one_at_8():
    jobs = rounding_jobs([RUN], [], everything)
    assert asked(jobs) == [("tiny-llama", 8), ("tiny-llama", 4), (f"run:{RUN.id}", 8)]
    assert {job.evaluation for job in jobs} == {RUN.job.evaluation} and jobs[0].evaluation[0].length == 64
    assert {job.resources.dtype for job in jobs} == {"float32"}, "the precision that the run had"


def test_what_came_out_is_a_reference_of_the_run():
    jobs = rounding_jobs([RUN], [], everything)
    found = [
        rounded(number, str(job.rounding.number), job.model.id, 10.0 + number)
        for number, job in enumerate(jobs)
    ]
    beside = references([RUN], found)
    assert [(one.label, one.bits) for one in beside] == [
        ("dense", 0),
        ("dense, 8 bits", 8),
        (f"{RUN.job.label}, 8 bits", 8),
        ("dense, 4 bits", 4),
    ]
    assert rounding_jobs([RUN], found, everything) == ()


def test_of_a_sweep_the_runs_that_no_other_beats():
    runs = a_counted_sweep().members
    best = [run for run in runs if run.job.method.name == "apt"]
    jobs = rounding_jobs(runs, [], everything)
    assert asked(jobs)[:2] == [("tiny-llama", 8), ("tiny-llama", 4)]
    assert sorted(name for name, _ in asked(jobs)[2:]) == sorted(f"run:{run.id}" for run in best)


def test_where_bytes_were_not_counted_sparsity_decides():
    runs = [run.model_copy(update={"sized": ()}) for run in a_counted_sweep().members]
    assert len(rounding_jobs(runs, [], everything)) == 2 + 4


def test_what_was_measured_or_is_about_to_be_is_left_out():
    done, waits = rounded(1, "8"), rounded(2, "4", status="queued")
    assert asked(rounding_jobs([RUN], [done, waits], everything)) == [(f"run:{RUN.id}", 8)]
    assert on_their_way([RUN], [done, waits]) == (waits,)
    for other in (rounded(1, "8", text="wikipedia"), rounded(1, "8", status="failed"), rounded(1, skip=3)):
        assert len(rounding_jobs([RUN], [other], everything)) == 3
    assert rounds(done) and rounds(waits) and not rounds(rounded(1, status="failed")) and not rounds(RUN)


def test_another_texts_run_that_waits_is_not_on_its_way_here():
    assert on_their_way([RUN], [rounded(2, "4", status="queued", text="wikipedia")]) == ()


def test_where_the_weights_are_gone_the_dense_model_alone():
    assert asked(rounding_jobs([RUN], [], lambda run_id: False)) == [("tiny-llama", 8), ("tiny-llama", 4)]


def changed(**evaluation):
    job = make_job("evaluate", model={"id": "m"}, evaluation=READ | evaluation)
    return RUN.model_copy(
        update={
            "id": "20261126-100009-abcd",
            "job": RUN.job.model_copy(update={"evaluation": job.evaluation}),
        }
    )


def on_its_own_text():
    run = changed(text="hub:ann/text")
    calibration = run.job.calibration.model_copy(update={"text": "hub:ann/text"})
    return run.model_copy(update={"job": run.job.model_copy(update={"calibration": calibration})})


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([], "these are none"),
        ([rounded(1)], "these are none"),
        ([RUN.model_copy(update={"finished": None})], "these are none"),
        ([RUN, changed(samples=3)], "one text and its windows in common"),
        ([record(1, RUN.job, 12.0)], "kept no losses of single windows"),
        ([on_its_own_text()], "calibrated on the dataset that it was measured on"),
    ],
    ids=["nothing", "no pruning", "not finished", "other windows", "an earlier version", "its own text"],
)
def test_what_cannot_be_compared_is_a_sentence(records, sentence):
    with pytest.raises(BadInput, match=sentence):
        rounding_jobs(records, [], everything)
    assert not any(map(comparable, records)) or len(records) > 1 or "none" not in sentence


def test_times_are_added_up_and_memory_is_that_of_the_hungriest():
    needs = [Estimate(seconds=10, memory_bytes=5), Estimate(seconds=20, memory_bytes=9, download_bytes=3)]
    total = in_a_row(needs)
    assert (total.seconds, total.memory_bytes, total.download_bytes, total.refusal) == (30, 9, 3, None)
    assert in_a_row([*needs, Estimate()]).seconds is None
    assert in_a_row([*needs, Estimate(refusal="It is too large.")]).refusal == "It is too large."
