"""The verdict says what was measured and why no sparse kernel ran."""

from __future__ import annotations

import pytest
from ui_helpers import a_recipe, some_events, stamped

from apt_core import events as ev
from apt_core.events.records import RunRecord, fold
from apt_core.reports.verdict import verdict


def sized(on_disk=1000, packed=563):
    return [
        ev.Sized(subject="dense", on_disk=1000, compressed=800, packed=1010, resident=900, zstd_level=3),
        ev.Sized(
            subject="pruned", on_disk=on_disk, compressed=600, packed=packed, resident=900, zstd_level=3
        ),
    ]


def record(recipe=None, events=()):
    return fold(
        RunRecord(id="20261124-100000-abcd", job=recipe or a_recipe()), stamped([*some_events(), *events])
    )


def test_as_it_is_and_packed():
    said = verdict(record(events=sized()))
    assert said.startswith("Neither smaller nor faster as it is, because zeros are stored")
    assert "Packed it takes 56.3% of the dense files, compressed 75% of" in said
    assert verdict(record(events=sized(on_disk=560))).startswith("Smaller but not faster as it is")


def test_runs_that_did_not_look_have_none():
    assert verdict(record()) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            {"kind": "n:m", "keep": 2, "of": 4},
            "compute capability 8.0 or newer, and this run computed on cpu",
        ),
        ({"kind": "n:m", "keep": 4, "of": 8}, "know 2:4 alone"),
        ({"kind": "unstructured", "sparsity": 0.5}, "know 2:4 alone"),
    ],
)
def test_the_reason_goes_by_pattern_and_device(pattern, words):
    assert words in verdict(record(a_recipe(pattern=pattern), sized()))
