"""Prompt sets: what a text of prompts means, and what their record keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apt_core.base.errors import BadInput
from apt_core.base.limits import PROMPTS_AT_ONCE
from apt_core.base.paths import ASSETS
from apt_core.base.policy import HostPolicy
from apt_core.events.asking import OtherAnswer
from apt_core.measure.answer_set import AnswerSet, prompts_in
from apt_core.measure.questions import Answered, Question


def test_prompts_are_lines_without_the_empty_ones():
    assert prompts_in("  Why?  \n\n\t\nHow & when?\r\n# not a comment") == (
        "Why?",
        "How & when?",
        "# not a comment",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "There is no prompt"),
        (" \n \n", "There is no prompt"),
        ("a\n" * 51, "There are 51 prompts; at most 50"),
        ("a\n" + "x" * 2001, "prompt in line 2 has 2,001 characters; use at most 2,000"),
    ],
)
def test_what_is_no_set_of_prompts_is_one_sentence(text, sentence):
    with pytest.raises(BadInput, match=sentence):
        prompts_in(text)


@given(st.text(max_size=300))
def test_every_prompt_can_be_asked(text):
    try:
        found = prompts_in(text)
    except BadInput:
        return
    for prompt in found:
        assert Question(prompt=prompt).prompt == prompt and prompt.strip() == prompt


def test_the_bundled_prompts_are_asked_also_on_a_public_host_in_part():
    text = (ASSETS / "prompts" / "short.txt").read_text("utf-8")
    assert len(prompts_in(text)) == 12 < PROMPTS_AT_ONCE
    with pytest.raises(BadInput, match="at most 8"):
        prompts_in(text, HostPolicy(public=True).prompts_at_once)


def test_a_record_round_trips_and_knows_what_was_cut():
    question = Question(prompt="x", max_tokens=4, seed=3)
    record = AnswerSet.of(["r", "s"], ["Dense", "A", "B"], question, 2)
    answered = Answered(
        dense="d",
        pruned="p",
        dense_tokens=4,
        pruned_tokens=3,
        first_divergence=1,
        seconds=1,
        others=(OtherAnswer(text="o", tokens=4, first_divergence=None),),
    )
    record = record.with_row(record.row(question, answered))
    assert [(one.model, one.cut) for one in record.rows[0].answers] == [
        ("Dense", True),
        ("A", False),
        ("B", True),
    ]
    stopped = record.row(question, answered.model_copy(update={"stopped": True}))
    assert stopped.stopped and not any(one.cut for one in stopped.answers)
    assert AnswerSet.model_validate_json(record.model_dump_json()) == record and record.seed == 3
