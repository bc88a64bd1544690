"""The verdict says what was measured and why no sparse kernel ran."""

from __future__ import annotations

import pytest
from ui_helpers import a_recipe, some_events, stamped

from apt_core import events as ev
from apt_core.base.policy import PRIVATE
from apt_core.events.records import RunRecord, fold
from apt_core.reports.as_json import run_json
from apt_core.reports.verdict import verdict, verdict_of


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
    assert said.startswith("Not smaller or faster yet: zeros are still stored")
    assert "Packed it takes 56.3% of the dense files, compressed 75% of" in said
    assert verdict(record(events=sized(on_disk=560))).startswith("Smaller but not faster")


def test_runs_that_measured_nothing_yet_have_none():
    assert verdict(fold(RunRecord(id="x", job=a_recipe()), stamped(some_events("layers")))) is None


def in_turns(dense, pruned):
    """Both models measured again, in turns: (median, slowest, fastest)."""
    return [
        ev.Measured(
            subject=subject,
            tokens_per_second=speed[0],
            bytes_on_disk=1000,
            prefill=ev.Speed(median=500, low=490, high=510, repeats=4),
            decode=ev.Speed(median=speed[0], low=speed[1], high=speed[2], repeats=4),
        )
        for subject, speed in (("dense", dense), ("pruned", pruned))
    ]


@pytest.mark.parametrize(
    ("dense", "pruned", "speed", "begins"),
    [
        ((20, 19.5, 20.5), (20.4, 19.8, 20.6), "as fast", "Not smaller or faster yet:"),
        ((20, 19.5, 20.5), (30, 29, 31), "faster", "Faster but not smaller:"),
        ((20, 19.5, 20.5), (10, 9.9, 10.1), "slower", "Not smaller or faster yet:"),
        ((20, 12, 40), (22, 10, 39), "not measurable now", "Not smaller yet: zeros are still stored"),
    ],
)
def test_speed_is_what_repeats_in_turns_can_show(dense, pruned, speed, begins):
    found = verdict_of(record(events=[*sized(), *in_turns(dense, pruned)]))
    assert (
        found.speed == speed and found.sentence.startswith(begins) and found.sentence.startswith(found.lead)
    )
    shows = speed in ("faster", "slower")
    assert found.decode == (pruned[0] / dense[0] if shows else None) and found.prefill is None
    assert ("It writes" in found.sentence) is shows
    assert ("the machine is busy" in found.sentence) is (speed == "not measurable now")


def test_measured_once_each_minutes_apart_a_difference_is_not_shown():
    assert verdict_of(record(events=sized())).speed == "as fast"  # 50 and 49
    busy = fold(RunRecord(id="x", job=a_recipe()), stamped(some_events(speed=(206, 22))))
    assert verdict_of(busy).speed == "not measurable now" and "206" not in verdict(busy)


def a_shrunk(*events, on_disk=800):
    """A run that removed whole blocks."""
    gone = ev.Shrunk(blocks=4, kept=(0, 1, 2), dense_parameters=100, parameters=80, share=0.25)
    return record(events=[gone, *sized(on_disk=on_disk), *events])


@pytest.mark.parametrize(
    ("pruned", "lead"),
    [
        ((20.4, 19.8, 20.6), "Smaller but not faster: timing varies as much as it differs."),
        ((10, 9.9, 10.1), "Smaller but slower."),
        ((40, 39, 41), "Smaller and faster."),
        ((22, 10, 39), "Smaller; speed is not measurable now."),
    ],
)
def test_what_lost_whole_structures_has_no_zeros_to_blame(pruned, lead):
    found = verdict_of(a_shrunk(*in_turns((20, 19.5, 20.5), pruned)))
    assert found.lead == lead and "zeros" not in found.sentence
    barely = verdict_of(a_shrunk(*in_turns((20, 19.5, 20.5), pruned), on_disk=990))
    assert not barely.smaller and "hardly anything was removed" in barely.lead
    assert "zeros" not in barely.sentence


def test_a_prompt_that_is_read_faster_is_said_of_fewer_structures_alone():
    """Zeros are multiplied like other weights, so there a difference is chance."""
    events = in_turns((20, 19.5, 20.5), (20.4, 19.8, 20.6))
    fast = events[1].model_copy(update={"prefill": ev.Speed(median=600, low=590, high=610, repeats=4)})
    said = verdict(a_shrunk(events[0], fast))
    assert (
        "It reads a prompt 1.20 × as fast: 500 (490 to 510) tokens a second dense, 600 (590 to 610) pruned."
        in said
    )
    assert "reads a prompt" not in verdict(a_shrunk(*events))
    assert "reads a prompt" not in verdict(record(events=[*sized(), events[0], fast]))


def test_a_smaller_one_that_was_measured_once_says_that():
    said = verdict_of(a_shrunk()).lead
    assert said == ("Smaller but not faster: each was measured once, which shows no difference.")


def test_zeros_of_a_packed_model_are_not_called_stored():
    said = verdict(record(events=sized(on_disk=560)))
    assert said.startswith("Smaller but not faster: zeros are still multiplied.")


def test_smaller_and_faster():
    found = verdict_of(record(events=[*sized(on_disk=500), *in_turns((20, 20, 20), (40, 40, 40))]))
    assert (found.smaller, found.speed, found.on_disk, found.decode) == (True, "faster", 0.5, 2.0)
    assert found.sentence.startswith("Smaller and faster.")


def test_it_is_in_the_json_of_a_run():
    said = run_json(record(events=[*sized(), *in_turns((20, 19, 21), (30, 29, 31))]), PRIVATE)
    assert said["verdict"]["speed"] == "faster" and said["verdict"]["smaller"] is False
    assert said["speed"]["dense"]["decode"] == {"median": 20, "low": 19, "high": 21, "repeats": 4}
    assert run_json(record(), PRIVATE)["speed"] == {"dense": None, "pruned": None}


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


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "speed was measured with dense kernels alone"),
        (
            ev.SparseKernels(layers=0, why="needs sm_80"),
            "No sparse kernel was used: torch.sparse refused (needs sm_80).",
        ),
        (
            ev.SparseKernels(
                layers=14,
                why="odd shape",
                prefill=ev.Speed(median=800, low=790, high=810, repeats=4),
                decode=ev.Speed(median=20.2, low=19.6, high=20.4, repeats=4),
            ),
            "With torch.sparse's 2:4 kernels in 14 layers a prompt is read 1.60 times as fast as by the dense model "
            "and a token is written no faster than by the dense model, as far as the repeats show. They refused other "
            "layers (odd shape).",
        ),
    ],
)
def test_what_sparse_kernels_did_on_a_gpu_is_in_the_verdict(found, says):
    recipe = a_recipe(pattern={"kind": "n:m", "keep": 2, "of": 4})
    events = [*sized(), *in_turns((20, 19.5, 20.5), (20.1, 19.7, 20.4)), *([found] if found else [])]
    of_gpu = record(recipe, events)
    of_gpu = of_gpu.model_copy(update={"model": of_gpu.model.model_copy(update={"device": "cuda:0"})})
    assert says in verdict(of_gpu)
    assert "need an NVIDIA GPU" in verdict(record(recipe, events))
