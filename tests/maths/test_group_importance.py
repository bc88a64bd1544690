"""Groups of several kinds ranked in one list."""

from __future__ import annotations

from itertools import accumulate

import torch
from hypothesis import given
from hypothesis import strategies as st

from apt_core.maths.group_importance import lowest_together


def test_the_example():
    scores = {"a": torch.tensor([1.0, 4.0]), "b": torch.tensor([2.0, 3.0])}
    assert lowest_together(scores, {"a": 10, "b": 1}, 11.0) == {"a": 1, "b": 1}
    assert lowest_together(scores, {"a": 10, "b": 1}, 9.0) == {"a": 1, "b": 2}
    assert lowest_together(scores, {"a": 10, "b": 1}, 4.0) == {"a": 2, "b": 2}


GROUPS = st.lists(
    st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 9)), min_size=1, max_size=6
)


@given(GROUPS, st.integers(0, 200))
def test_nothing_that_went_scores_more_than_what_might_have_gone(groups, to_go):
    scores = {key: torch.tensor(found, dtype=torch.float32) for key, (found, _) in enumerate(groups)}
    weights = {key: weight for key, (_, weight) in enumerate(groups)}
    kept = lowest_together(scores, weights, float(to_go))
    ordered = {key: found.sort().values.tolist() for key, found in scores.items()}
    lost = {key: ordered[key][: len(ordered[key]) - kept[key]] for key in scores}
    might = [value for key in scores for value in ordered[key][len(lost[key]) : -1]]  # the highest stays
    went = [value for found in lost.values() for value in found]
    assert all(1 <= kept[key] <= len(scores[key]) for key in scores)
    assert not went or not might or max(went) <= min(might)
    gone = sum(weights[key] * len(found) for key, found in lost.items())
    values = [value for found in ordered.values() for value in found]
    if len(set(values)) == len(values):  # in the one order that there is, no other end is closer
        steps = sorted((value, weights[key]) for key in scores for value in ordered[key][:-1])
        ends = [0, *accumulate(weight for _, weight in steps)]
        assert abs(gone - to_go) == min(abs(end - to_go) for end in ends)
