"""Slides of a run: what they say comes from the record, and runs without slides say why."""

from __future__ import annotations

import pytest
from report_runs import NASTY, hostile
from ui_helpers import a_recipe, a_record, evaluated, some_events, stamped

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import make_job
from apt_core.reports import samples
from apt_core.reports.slides import one_sentence, slides_of

RUN = "20261124-100000-abcd"
SIZES = (
    ev.Sized(subject="dense", on_disk=1000, compressed=800, packed=1010, resident=900, zstd_level=3),
    ev.Sized(subject="pruned", on_disk=1000, compressed=600, packed=563, resident=900, zstd_level=3),
)
AGREED = ev.Diverged(
    text="wikipedia",
    windows=8,
    length=512,
    tokens=4088,
    kl=0.2,
    agreement=0.817,
    agreement_low=0.8,
    agreement_high=0.83,
)


def record(recipe=None, events=(), **changes):
    log = stamped([*some_events(**changes), *events])
    return fold(RunRecord(id=RUN, job=recipe or a_recipe()), log)


def by_name(found, title="Tiny"):
    return {slide.name: slide for slide in slides_of(found, title)}


def test_the_order_of_the_story():
    names = [slide.name for slide in slides_of(record(), "Tiny")]
    assert names == ["pruning", "removed", "cost", "gain", "verdict"]
    sample = next(iter(samples.load().values()))
    asked = sample.record("x").answers
    with_answers = slides_of(sample.record("x"), "SmolLM2")
    assert [slide.name for slide in with_answers] == [
        "pruning",
        "removed",
        "cost",
        "answers",
        "gain",
        "verdict",
    ]
    assert with_answers[3].answers == asked and asked.question.prompt in with_answers[3].title
    own = asked.model_copy(
        update={"question": asked.question.model_copy(update={"prompt": "What is a noun?"})}
    )
    both = slides_of(sample.record("x").model_copy(update={"asked": (asked, own)}), "SmolLM2")
    assert [slide.answers for slide in both if slide.answers] == [asked, own]


def test_what_was_removed_is_counted_from_the_layers():
    shown = by_name(record())["removed"]
    layers = record().layers
    removed = sum(layer.removed for layer in layers)
    assert shown.title == "Removed here: two of every four neighbours (2:4 keeps two)"
    assert shown.figures[0].sides[0].text == f"{removed:,}"
    assert "APT: Removes many weights at once" in shown.lines[0] and "seed 0" in shown.lines[1]
    whole = by_name(record(a_recipe(pattern={"kind": "unstructured", "sparsity": 0.3})))["removed"]
    assert whole.title == "Removed here: 30% of the weights of every layer"
    varying = a_recipe(method="apt-joint", pattern={"kind": "unstructured", "sparsity": 0.5})
    assert "less sensitive" in by_name(record(varying))["removed"].title


def test_the_cost_on_every_text_with_its_interval_and_the_agreement():
    other = [
        evaluated(side, value).model_copy(update={"text": "wiki-sample", "low": value - 1, "high": value + 2})
        for side, value in (("dense", 10.0), ("pruned", 12.0))
    ]
    shown = by_name(record(events=(*other, AGREED)))["cost"]
    assert [figure.value for figure in shown.figures] == [
        "dense 20.0 → pruned 30.0",
        "dense 10.0 → pruned 12.0",
    ]
    assert shown.figures[1].note == "95% intervals: 9.00 to 12.0 dense, 11.0 to 14.0 pruned, 8 windows"
    assert shown.figures[0].note == "8 windows of 512 tokens" and shown.figures[0].aside == "1.50 ×"
    assert "Both models predict the same next token 81.7% of the time (95% CI 80% to 83%)." in shown.lines[0]
    assert "clearly worse" in shown.title
    assert not any("likeliest" in line for line in by_name(record())["cost"].lines)


def test_the_verdict_is_one_sentence_that_names_method_text_and_gain():
    said = one_sentence(record(events=SIZES), "Tiny")
    assert said == (
        "Tiny is clearly worse after APT removed half of its layer weights: perplexity on Wikipedia summaries rose "
        "from 20.0 to 30.0, and it is not smaller or faster yet."
    )
    loud = one_sentence(record(speed=(50.0, 20.0)), "Tiny")
    assert loud.endswith(
        "and it is not smaller yet."
    )  # nothing is said of a speed that could not be measured
    unmeasured = record().model_copy(update={"measured": ()})
    assert "smaller" not in one_sentence(unmeasured, "Tiny")
    assert "has hardly changed" in one_sentence(record(pruned=20.001), "Tiny")
    assert "stayed at 20.0" in one_sentence(record(pruned=20.001), "Tiny")
    assert "fell from 20.0 to 19.0" in one_sentence(record(pruned=19.0), "Tiny")
    unread = record().model_copy(update={"evaluated": ()})
    assert one_sentence(unread, "Tiny").endswith("what that cost was not measured.")


def test_is_it_smaller_has_the_measured_rows_and_the_verdict():
    shown = by_name(record(events=SIZES))["gain"]
    assert shown.title == "Not smaller or faster yet"
    assert ("packed (bit mask and kept values)", "1.01 kB", "563 bytes") in shown.rows
    assert shown.lines[0].startswith("Zeros are still stored") and "56.3%" in shown.lines[0]
    before = by_name(record().model_copy(update={"measured": ()}))["gain"]
    assert before.title == "Is it smaller or faster?" and "eros alone save nothing" in before.lines[0]


@pytest.mark.parametrize(
    ("upto", "words"), [("layers", "has not finished yet"), ("queued", "has not finished yet")]
)
def test_a_run_that_goes_on_has_no_slides(upto, words):
    with pytest.raises(BadInput, match=words):
        slides_of(a_record(upto), "Tiny")


def test_failed_and_measuring_runs_say_why_they_have_none():
    failed = a_record("layers").model_copy(update={"status": "failed"})
    with pytest.raises(BadInput, match="did not finish"):
        slides_of(failed, "Tiny")
    measured = RunRecord(
        id=RUN, job=make_job("evaluate", model={"id": "tiny-random-llama"}), status="finished"
    )
    with pytest.raises(BadInput, match="only measured a model"):
        slides_of(measured, "Tiny")


def test_a_hostile_record_still_makes_slides():
    assert NASTY in slides_of(hostile(), NASTY)[-1].title
