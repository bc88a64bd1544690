import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ui_helpers import a_record

from apt_core.base import words
from apt_core.events import Diverged


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (22.26, "22.3"),
        (0.01312, "0.0131"),
        (99.96, "100"),
        (999.6, "1,000"),
        (12345, "12,300"),
        (1, "1.00"),
        (0.00012345, "0.000123"),
        (2.5e-6, "2.50e-6"),
        (3.21e9, "3.21e9"),
        (-4.567, "-4.57"),
        (math.nan, "not a number"),
        (math.inf, "infinite"),
    ],
)
def test_three_significant_digits(value, text):
    assert words.number(value) == text


@given(st.floats(min_value=1e-4, max_value=9.9e6, exclude_max=True))
def test_a_written_number_is_within_half_a_percent_of_it(value):
    assert float(words.number(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(None, "–"), (0.5, "50%"), (1 / 3, "33.3%"), (0.99999, "99.9%"), (1, "100%"), (0, "0%")],
)
def test_percent_never_says_all_of_what_is_not_all(fraction, text):
    assert words.percent(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.312, "0.31 s"),
        (4.21, "4.2 s"),
        (9.97, "10 s"),
        (59.6, "1 min"),
        (75, "1 min 15 s"),
        (3599, "60 min"),
        (7500, "2 h 5 min"),
        (None, "–"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "a few seconds left"),
        (42, "about 40 s left"),
        (57, "about 55 s left"),
        (58, "about 1 min left"),
        (3600, "about 1 h left"),
        (None, ""),
    ],
)
def test_time_left_does_not_twitch(seconds, text):
    assert words.left(seconds) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.9, "hardly changed"),
        (1.0499, "hardly changed"),
        (1.05, "slightly worse"),
        (1.25, "clearly worse"),
        (1.99, "clearly worse"),
        (2, "badly hurt"),
        (5, "broken"),
        (math.inf, "broken"),
        (math.nan, "broken"),
    ],
)
def test_the_bands_of_the_verdict(ratio, text):
    assert words.verdict(ratio) == text


def test_the_verdict_is_a_sentence():
    assert (
        words.verdict_sentence(a_record(), "Tiny", "some prose")
        == "Tiny is clearly worse on some prose after APT removed half of its layer weights."
    )
    near = words.verdict_sentence(a_record(pruned=20.1), "Tiny", "some prose")
    assert near == "Tiny has hardly changed on some prose after APT removed half of its layer weights."
    assert "not measured" in words.verdict_sentence(a_record("layers"), "Tiny", "some prose")


@pytest.mark.parametrize(
    ("factor", "text"),
    [(8.2, "eightfold"), (1.5, "1.5-fold"), (31, "31.0-fold"), (2.9, "threefold"), (12, "twelvefold")],
)
def test_factors_in_words(factor, text):
    assert words.fold(factor) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (1500, "1.50 kB"), (269_060_552, "269 MB"), (1.93e9, "1.93 GB"), (None, "–")],
)
def test_sizes(n_bytes, text):
    assert words.size(n_bytes) == text


def test_a_sentence_ends_once():
    assert words.sentence("no  room\nleft") == "No room left."
    assert words.sentence("Why?") == "Why?"
    assert words.sentence("notes.txt is empty") == "notes.txt is empty."
    assert words.sentence("") == ""


@pytest.mark.parametrize(("low", "said"), [(0.85, " (95% CI 85% to 90%)"), (None, "")])
def test_agreement_names_its_interval_where_there_is_one(low, said):
    high = None if low is None else 0.9
    found = Diverged(
        text="t", windows=2, length=9, tokens=16, kl=0.04123, agreement=0.8734, agreement_low=low,
        agreement_high=high,
    )  # fmt: skip
    expected = f"agrees with the dense model on 87.3% of next tokens{said}, KL 0.0412 nats a token"
    assert words.agreement(found) == expected
