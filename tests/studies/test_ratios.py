"""The ratio of two perplexities of one run, with the interval that its windows allow."""

from __future__ import annotations

import math
import statistics

import pytest

from apt_core.events.records import RunRecord
from apt_core.studies.ratios import interval_words, ratio_among, ratio_of, ratio_to_dense, ratio_words
from tests.studies.compared_runs import DENSE, evaluated, job_of, measured_run, pruned_run

T_OF_FIVE = 2.5705818  # the 97.5% quantile of Student's t with five degrees of freedom


def test_the_interval_is_student_s_over_the_differences_of_the_windows():
    other = [loss + by for loss, by in zip(DENSE, (0.1, 0.3, 0.2, 0.15, 0.25, 0.2), strict=True)]
    found = ratio_of(evaluated("dense", DENSE), evaluated("pruned", other))
    differences = [b - a for a, b in zip(DENSE, other, strict=True)]
    reach = T_OF_FIVE * statistics.stdev(differences) / math.sqrt(6)
    assert found.ratio == pytest.approx(math.exp(0.2))
    assert (found.low, found.high) == pytest.approx((math.exp(0.2 - reach), math.exp(0.2 + reach)))


def test_it_is_far_narrower_than_those_of_both_perplexities():
    run = pruned_run(losses=[loss + 0.2 for loss in DENSE])
    found = ratio_to_dense(run)
    assert (found.low, found.high) == pytest.approx((math.exp(0.2), math.exp(0.2)))
    assert run.pruned.low < run.dense.high


@pytest.mark.parametrize(
    "losses", [(DENSE, ()), ((), ()), (DENSE, DENSE[:3]), (DENSE[:1], DENSE[:1])], ids=str
)
def test_without_pairs_there_is_a_ratio_and_no_interval(losses):
    first, other = (
        evaluated(side, DENSE).model_copy(update={"losses": of, "perplexity": perplexity})
        for side, of, perplexity in zip(("dense", "pruned"), losses, (20.0, 25.0), strict=True)
    )
    found = ratio_of(first, other)
    assert (found.ratio, found.low, found.high) == (1.25, None, None)
    assert interval_words(found) == "" and ratio_words(found) == "1.25 ×"


def test_in_words():
    found = ratio_to_dense(pruned_run(losses=[loss + 0.1 + 0.01 * place for place, loss in enumerate(DENSE)]))
    assert interval_words(found) == "95% CI 1.11 to 1.16" and ratio_words(found) == "1.13 × (1.11 to 1.16)"
    assert ratio_words(None) == "–" and ratio_to_dense(RunRecord(id="r", job=job_of())) is None


def test_a_rounded_model_is_held_against_the_dense_one_of_a_run_that_read_the_same_windows():
    run = pruned_run()
    eight = measured_run(losses=[loss + 0.1 for loss in DENSE])
    found = ratio_among(eight, [eight, run])
    assert (found.ratio, found.low) == pytest.approx((math.exp(0.1), math.exp(0.1)))
    assert ratio_among(run, [eight]) == ratio_to_dense(run) and ratio_among(eight, [eight]) is None
    assert ratio_among(measured_run(losses=DENSE[:5]), [run]) is None, "other windows"
    assert ratio_among(eight, [pruned_run(model={"id": "tiny-llama"})]) is None, "another model"
