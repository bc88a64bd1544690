"""The paired difference against scipy's, and when two runs are not paired at all."""

import math
import random

import numpy
import pytest
from scipy import stats

from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord, fold
from apt_core.studies.paired import (
    BETTER,
    NO_DIFFERENCE,
    ONE_WINDOW,
    SAME,
    WORSE,
    Unpaired,
    compare_pair,
    differs_surely,
    paired_difference,
    paired_sentence,
    shared_losses,
)
from tests.studies.compared_runs import (
    DENSE,
    FIRST,
    OTHER,
    evaluated,
    events_of,
    job_of,
    measured_run,
    pruned_run,
)
from tests.ui.ui_helpers import stamped


def two_lists(seed, windows):
    draw = random.Random(seed)
    hard = [draw.gauss(3, 0.5) for _ in range(windows)]
    return [loss + draw.gauss(0, 0.02) for loss in hard], [loss + draw.gauss(0.01, 0.02) for loss in hard]


@pytest.mark.parametrize("windows", [2, 3, 6, 12, 200])
@pytest.mark.parametrize("seed", range(5))
def test_the_interval_is_that_of_scipys_paired_t_test(windows, seed):
    first, other = two_lists(seed, windows)
    found = paired_difference(first, other)
    oracle = stats.ttest_rel(other, first).confidence_interval(0.95)
    assert found.mean == pytest.approx(numpy.mean(numpy.subtract(other, first)), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    for significance in (0.05, 0.01, 0.002):
        p = stats.ttest_rel(other, first).pvalue
        assert differs_surely(first, other, significance) == (p < significance)


def test_runs_that_are_alike_differ_by_exactly_nothing():
    (pair,) = compare_pair(pruned_run(FIRST), pruned_run(OTHER))
    assert (pair.difference, pair.low, pair.high) == (0, 0, 0) and pair.verdict == SAME
    assert (pair.ratio, pair.ratio_low, pair.ratio_high) == (1, 1, 1) and pair.windows == 6
    assert "predict the same on every one of 6 windows" in paired_sentence(pair, "A", "B", "a text")


def test_the_order_of_two_runs_turns_the_sign_only():
    one, other = two_lists(3, 6)
    (there,) = compare_pair(pruned_run(FIRST, one), pruned_run(OTHER, other))
    (back,) = compare_pair(pruned_run(OTHER, other), pruned_run(FIRST, one))
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.ratio == pytest.approx(1 / back.ratio) == pytest.approx(math.exp(there.difference))
    assert there.ratio_low == pytest.approx(math.exp(there.low))


def worse_by(*extra):
    return [loss + 0.2 + more for loss, more in zip(DENSE, extra, strict=True)]


@pytest.mark.parametrize(
    ("losses", "verdict", "said"),
    [
        (worse_by(0.1, 0.12, 0.11, 0.1, 0.09, 0.1), WORSE, "B has 1.11 times the perplexity of A on a text"),
        (worse_by(-0.1, -0.12, -0.11, -0.1, -0.09, -0.1), BETTER, "B has 0.9018 times the perplexity of A"),
        (worse_by(0.3, -0.3, 0.2, -0.2, 0.1, 0), NO_DIFFERENCE, "no difference that these windows can show"),
    ],
)
def test_the_verdict_says_what_the_interval_allows(losses, verdict, said):
    (pair,) = compare_pair(pruned_run(FIRST), pruned_run(OTHER, losses))
    assert pair.verdict == verdict
    assert said in paired_sentence(pair, "A", "B", "a text")


def test_a_small_difference_shows_though_the_intervals_of_both_overlap():
    """That is what pairing is for: the windows differ far more among themselves than the models do."""
    first, other = pruned_run(FIRST), pruned_run(OTHER, worse_by(0.01, 0.012, 0.011, 0.009, 0.01, 0.01))
    assert first.pruned.high > other.pruned.low
    assert compare_pair(first, other)[0].verdict == WORSE


def test_one_window_has_no_interval():
    one = {"dense": DENSE[:1], "samples": 1}
    (pair,) = compare_pair(pruned_run(FIRST, [3.0], **one), pruned_run(OTHER, [3.1], **one))
    assert (pair.low, pair.high, pair.ratio_low) == (None, None, None) and pair.verdict == ONE_WINDOW
    assert pair.ratio == pytest.approx(math.exp(0.1))
    assert "one window, which cannot show how much is chance" in paired_sentence(pair, "A", "B", "a text")


def test_lists_that_do_not_match_are_refused():
    with pytest.raises(BadInput):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(BadInput):
        paired_difference([], [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"texts": ["wiki-sample"]}, "no text in common"),
        ({"measured": {"length": 256}}, "their windows have 512 and 256 tokens"),
        ({"measured": {"protocol": "joined-bos-v1"}}, "different protocols"),
        ({"measured": {"losses": ()}}, "the other kept no losses of single windows"),
        ({"dense": [loss + 0.1 for loss in DENSE]}, "the dense perplexities differ"),
        ({"skip": 6}, "different windows of the text"),
    ],
)
def test_runs_on_other_windows_are_not_paired(changes, reason):
    (pair,) = compare_pair(pruned_run(FIRST), pruned_run(OTHER, **changes))
    assert isinstance(pair, Unpaired) and reason in pair.reason
    assert reason in paired_sentence(pair, "A", "B", "a text")


def test_old_runs_on_both_sides_are_named_together():
    old = {"measured": {"losses": ()}}
    (pair,) = compare_pair(pruned_run(FIRST, **old), pruned_run(OTHER, **old))
    assert "each of them kept no losses" in pair.reason


def test_a_run_that_read_more_windows_is_paired_on_those_that_both_read():
    longer, dense = [*worse_by(*[0.1] * 6), 9.0, 9.5], [*DENSE, 3.2, 3.4]
    (pair,) = compare_pair(pruned_run(FIRST), pruned_run(OTHER, longer, dense, samples=8))
    assert pair.windows == 6 and pair.difference == pytest.approx(0.1)
    moved = pruned_run(OTHER, longer[2:], dense[2:], skip=2)
    (pair,) = compare_pair(pruned_run(FIRST), moved)
    assert pair.windows == 4 and pair.difference == pytest.approx(0.1)
    assert shared_losses(pruned_run(FIRST), moved, "wikipedia")[1] == longer[2:6]


def test_a_text_of_the_hub_that_one_run_also_calibrates_on_is_read_in_another_part():
    hub = {"texts": ["hub:a/b:c:train"], "measured": {"text": "hub:a/b:c:train"}}
    (pair,) = compare_pair(
        pruned_run(FIRST, **hub), pruned_run(OTHER, calibration={"text": "hub:a/b:c:train"}, **hub)
    )
    assert isinstance(pair, Unpaired) and "another part of it" in pair.reason
    (pair,) = compare_pair(pruned_run(FIRST, **hub), pruned_run(OTHER, **hub))
    assert pair.verdict == SAME


def test_a_measurement_of_a_model_of_the_same_shape_is_paired_and_of_another_is_not():
    (pair,) = compare_pair(pruned_run(FIRST), measured_run(OTHER))
    assert pair.difference == pytest.approx(-0.2) and pair.verdict == BETTER
    larger = measured_run(OTHER)
    larger = larger.model_copy(update={"model": larger.model.model_copy(update={"parameters": 7})})
    (pair,) = compare_pair(pruned_run(FIRST), larger)
    assert "different models" in pair.reason


def test_what_was_made_from_the_first_run_is_paired_with_it():
    """Its dense model is the pruned one of the first, and that agrees."""
    first = pruned_run(FIRST)
    again = pruned_run(OTHER, worse_by(*[0.4] * 6), dense=first.pruned.losses, model={"id": f"run:{FIRST}"})
    (pair,) = compare_pair(first, again)
    assert pair.difference == pytest.approx(0.4)
    assert compare_pair(again, first)[0].difference == pytest.approx(-0.4)


def test_every_text_that_both_measured_has_an_entry():
    texts = ["wikipedia", "wiki-sample"]
    both = events_of(
        *(evaluated("dense", DENSE, text) for text in texts),
        *(evaluated("pruned", worse_by(*[0.1] * 6), text) for text in texts),
    )
    several = fold(RunRecord(id=OTHER, job=job_of(texts)), stamped(both))
    assert [pair.text for pair in compare_pair(several, several)] == texts
    assert [pair.text for pair in compare_pair(pruned_run(FIRST), several)] == ["wikipedia"]


def test_a_run_that_measured_nothing_yet_says_so():
    waiting = pruned_run(OTHER).model_copy(update={"evaluated": ()})
    (pair,) = compare_pair(pruned_run(FIRST), waiting)
    assert pair.text == "" and "the other has measured nothing (yet)" in pair.reason
