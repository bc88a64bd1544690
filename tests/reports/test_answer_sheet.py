"""Answered prompts as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json

from apt_core.measure.answer_set import AnswerSet, ModelAnswer, PromptRow
from apt_core.measure.questions import Question
from apt_core.reports.answer_sheet import answer_sheet, as_json, as_markdown, settings_of

NASTY = 'a | b\n<img src=x> **bold** [x](y) `c` \\ "q", z'
ROW = PromptRow(
    prompt="Why | not?",
    answers=(
        ModelAnswer(model="Dense", text=NASTY, tokens=5, cut=True, first_divergence=None),
        ModelAnswer(model="APT", text="short", tokens=2, cut=False, first_divergence=1),
    ),
)
RECORD = AnswerSet.of(["run-1"], ["Dense", "APT"], Question(prompt="x", max_tokens=5), 3).model_copy(
    update={"rows": (ROW, PromptRow(prompt="long", error="Too long.")), "stopped": True}
)


def test_csv_has_a_row_for_each_prompt_and_model():
    rows = list(csv.DictReader(io.StringIO(answer_sheet(RECORD).as_csv())))
    assert [row["model"] for row in rows] == ["Dense", "APT", ""]
    assert rows[0]["text"] == NASTY and rows[0]["cut"] == "True" and rows[1]["first_divergence"] == "1"
    assert rows[2]["prompt"] == "long" and rows[2]["error"] == "Too long."


def test_json_is_the_record():
    assert AnswerSet.model_validate(json.loads(as_json(RECORD))) == RECORD


def test_markdown_is_one_line_a_prompt_and_nothing_in_it_is_markup():
    lines = as_markdown(RECORD).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 4 and rows[0] == "| Prompt | Dense | APT |"
    assert "<img" not in rows[2].replace("\\<", "") and "\\*\\*bold" in rows[2] and "a \\| b" in rows[2]
    assert rows[2].replace("\\|", "").count("|") == rows[3].count("|") == 4
    assert (
        "cut at the limit" in rows[2]
        and "first difference at token 2" in rows[2]
        and "- APT: run run-1" in lines
    )


def test_the_conditions_in_words():
    assert settings_of(RECORD) == (
        "2 of 3 prompts, then stopped; temperature 0.7, top-p 0.95, seed 0, at most 5 tokens, "
        "chat template where there is one."
    )
    greedy = RECORD.model_copy(update={"temperature": 0, "stopped": False, "asked": 1, "chat": False})
    assert settings_of(greedy).startswith(
        "1 prompt; greedy (temperature 0)"
    ) and "no chat template" in settings_of(greedy)
