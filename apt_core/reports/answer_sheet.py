"""A set of answered prompts as CSV, JSON and Markdown. The page and the command line give out the same."""

from __future__ import annotations

import json
from collections.abc import Sequence

from apt_core.measure.answer_set import AnswerSet, ModelAnswer, PromptRow
from apt_core.plots.chart import Sheet

HONEST = (
    "All models of a prompt draw from the same random numbers. A few answers are no benchmark: they show how a model "
    "speaks, not how good it is."
)


def answer_sheet(record: AnswerSet) -> Sheet:
    """One row for each prompt and model."""
    heads = ("prompt", "model", "text", "tokens", "cut", "stopped", "first_divergence", "error")
    rows: list[tuple[object, ...]] = []
    for row in record.rows:
        if row.error:
            rows.append((row.prompt, "", "", "", "", "", "", row.error))
        rows += [
            (row.prompt, one.model, one.text, one.tokens, one.cut, row.stopped, one.first_divergence, "")
            for one in row.answers
        ]
    return Sheet(heads, tuple(rows))


def as_json(record: AnswerSet) -> str:
    return json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False)


def as_markdown(record: AnswerSet) -> str:
    """A table prompt x model, and under which conditions."""
    head = _line(("Prompt", *record.models))
    rule = _line(["---"] * (1 + len(record.models)))
    rows = [_line((row.prompt, *_cells(row, record))) for row in record.rows]
    return "\n".join(
        ["# Answers", "", settings_of(record), "", HONEST, "", head, rule, *rows, "", _runs(record), ""]
    )


def settings_of(record: AnswerSet) -> str:
    """'12 prompts; temperature 0.7, top-p 0.95, seed 0, at most 96 tokens, chat template where there is one.'"""
    drawn = f"temperature {record.temperature:g}, top-p {record.top_p:g}"
    how = "greedy (temperature 0)" if record.temperature == 0 else drawn
    prompts = "1 prompt" if record.asked == 1 else f"{record.asked} prompts"
    done = f"{len(record.rows)} of {prompts}, then stopped" if record.stopped else prompts
    chat = ", chat template where there is one" if record.chat else ", no chat template"
    return f"{done}; {how}, seed {record.seed}, at most {record.max_tokens} tokens{chat}."


def note_of(answer: ModelAnswer, row: PromptRow) -> str:
    """'96 tokens, cut at the limit, first difference at token 5'."""
    end = ", stopped" if row.stopped else ", cut at the limit" if answer.cut else ""
    parted = (
        ""
        if answer.first_divergence is None
        else f", first difference at token {answer.first_divergence + 1}"
    )
    return f"{answer.tokens} tokens{end}{parted}"


def _cells(row: PromptRow, record: AnswerSet) -> list[str]:
    if row.error:
        return [row.error, *[""] * (len(record.models) - 1)]
    return [f"{one.text.strip()} ({note_of(one, row)})" for one in row.answers]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """As a cell says it: on one line, and nothing in it is markup."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|")
    for mark in "*_`[]<>#":
        escaped = escaped.replace(mark, f"\\{mark}")
    return " ".join(escaped.split())


def _runs(record: AnswerSet) -> str:
    named = zip(record.models[1:], record.runs, strict=False)
    return "\n".join(f"- {_cell(model)}: run {run}" for model, run in named)
