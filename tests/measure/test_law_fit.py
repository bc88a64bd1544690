"""The law of post-training: known constants are found again, and what points do not determine is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apt_core.base.errors import BadInput
from apt_core.measure import power_law as law
from apt_core.measure.power_law import ALONE, BY_BOTH, BY_SIZE, BY_SPARSITY, WHOLE, Data, Point, fit, form_for

TOKENS = np.geomspace(1e4, 5e6, 24)
PARTS = {"gamma": -2.0, "delta": 0.2, "D_C": 0.4, "beta": 0.5, "E": 0.1}
SIZES, SPARSITIES = (0.1e9, 0.36e9, 1.7e9, 5e9), (0.3, 0.5, 0.7)


def curve(form, constants, sizes=(1e8,), sparsities=(0.5,), noise=0.0, tokens=TOKENS, seed=0):
    drawn = np.random.default_rng(seed)
    points = [
        Point(f"{size}-{sparsity}", float(read), 0.0, size, sparsity, 2.5)
        for size in sizes
        for sparsity in sparsities
        for read in tokens
    ]
    exact = form.predict(constants, Data.of(points))
    return [
        point._replace(loss=float(loss) + drawn.normal(0, noise))
        for point, loss in zip(points, exact, strict=True)
    ]


@settings(max_examples=4, deadline=None)
@given(
    floor=st.floats(1.0, 4.0),
    b=st.floats(0.05, 1.0),
    beta=st.floats(0.2, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_curve_gives_its_constants_back(floor, b, beta, seed):
    known = {"floor": floor, "b": b, "beta": beta}
    found = fit(curve(ALONE, known), seed=seed)
    assert found.form is ALONE
    assert found.constants == pytest.approx(known, rel=0.02)
    assert found.error < 1e-3


@pytest.mark.parametrize(
    ("form", "sizes", "sparsities"),
    [
        (BY_SPARSITY, SIZES[:1], SPARSITIES),
        (BY_SIZE, SIZES, SPARSITIES[:1]),
        (BY_BOTH, SIZES[:2], SPARSITIES),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_reduced_forms_give_their_constants_back(form, sizes, sparsities):
    known = {name: PARTS[name] for name in form.constants}
    points = curve(form, known, sizes, sparsities)
    assert form_for(points) is form
    assert fit(points).constants == pytest.approx(known, rel=0.02)


@pytest.mark.slow
def test_the_whole_law_gives_its_constants_back():
    known = PARTS | {"N_C": 0.05, "alpha": 0.4}
    found = fit(curve(WHOLE, known, SIZES, SPARSITIES), bootstraps=8)
    assert found.form is WHOLE and not found.undetermined
    assert found.constants == pytest.approx(known, rel=0.02)


def test_the_interval_holds_the_known_constants_and_noise_widens_it():
    known = {"floor": 2.8, "b": 0.35, "beta": 0.45}
    quiet, loud = (fit(curve(ALONE, known, noise=noise), bootstraps=24) for noise in (0.001, 0.01))
    assert not quiet.undetermined
    for name, value in known.items():
        assert quiet.low[name] - 0.05 * value <= value <= quiet.high[name] + 0.05 * value
    assert loud.high["floor"] - loud.low["floor"] > quiet.high["floor"] - quiet.low["floor"]


def test_one_point_far_off_hardly_moves_the_law():
    known = {"floor": 2.8, "b": 0.35, "beta": 0.45}
    points = curve(ALONE, known, noise=0.001)
    points[10] = points[10]._replace(loss=points[10].loss + 1.0)
    assert fit(points).constants == pytest.approx(known, rel=0.05)


def test_a_curve_that_is_straight_in_the_logarithm_does_not_determine_its_floor():
    drawn = np.random.default_rng(1)
    points = [
        Point("a", float(read), 3 - 0.02 * np.log(read / 1e5) + drawn.normal(0, 0.004))
        for read in TOKENS[:14]
    ]
    assert "floor" in fit(points, bootstraps=24).undetermined


def test_tokens_until_a_loss_is_the_inverse_of_the_law():
    known = {"floor": 2.8, "b": 0.35, "beta": 0.45}
    points = curve(ALONE, known)
    found = fit(points)
    for loss in (2.9, 3.0, 3.3):
        assert found.at(points[0], found.tokens_for(points[0], loss)) == pytest.approx(loss, abs=1e-6)
    assert found.tokens_for(points[0], 2.8) is None and found.tokens_for(points[0], 2.0) is None


def test_what_as_many_tokens_again_would_bring():
    known = {"floor": 2.8, "b": 0.35, "beta": 0.45}
    points = [(point.tokens, point.loss) for point in curve(ALONE, known)]
    last = points[-1][0] / 1e6
    fall = 0.35 * (last**-0.45 - (2 * last) ** -0.45)
    assert law.expected_fall(points) == pytest.approx(fall, rel=0.05)
    assert law.expected_fall(points[:5]) is None


def test_too_few_points_and_a_missing_dense_loss_are_one_sentence():
    points = curve(ALONE, {"floor": 2.8, "b": 0.35, "beta": 0.45})
    with pytest.raises(BadInput, match="needs at least 5 points after the warm-up, not 3"):
        fit(points[:3])
    with pytest.raises(BadInput, match="no point of a training curve"):
        fit([])
    two = [*points, *(point._replace(sparsity=0.7, dense_loss=None) for point in points)]
    with pytest.raises(BadInput, match="does not know its dense model's loss"):
        fit(two)
