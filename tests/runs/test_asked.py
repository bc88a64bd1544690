"""What people asked a run: kept in its folder, the newest last, and never at the cost of an answer."""

from __future__ import annotations

from apt_core.events import Answers
from apt_core.events.asking import Answered, OtherAnswer, Question
from apt_core.runs import asked


def answers(prompt, dense="yes", **question):
    said = Answered(
        dense=dense, pruned="no", dense_tokens=1, pruned_tokens=1, first_divergence=0, seconds=0.1
    )
    return Answers(question=Question(prompt=prompt, **question), answered=said)


def test_what_was_asked_comes_back_and_the_oldest_make_room(tmp_path):
    assert asked.asked(tmp_path) == ()
    every = [answers(f"Question {number}?") for number in range(asked.MOST_KEPT + 3)]
    for one in every:
        asked.keep(tmp_path, one)
    assert list(asked.asked(tmp_path)) == every[3:]


def test_the_same_question_asked_again_takes_the_place_of_the_first(tmp_path):
    for one in (answers("A?"), answers("B?"), answers("A?", dense="perhaps"), answers("A?", seed=1)):
        asked.keep(tmp_path, one)
    kept = asked.asked(tmp_path)
    assert [(one.question.prompt, one.answered.dense) for one in kept] == [
        ("B?", "yes"),
        ("A?", "perhaps"),
        ("A?", "yes"),
    ]


def test_a_torn_line_is_left_out_and_a_folder_that_is_gone_costs_nothing(tmp_path):
    asked.keep(tmp_path, answers("A?"))
    file = tmp_path / "asked.jsonl"
    file.write_text(file.read_text() + '{"kind": "answers", "question"', encoding="utf-8")
    assert [one.question.prompt for one in asked.asked(tmp_path)] == ["A?"]
    asked.keep(tmp_path / "gone", answers("B?"))
    assert not (tmp_path / "gone").exists()


def test_what_further_runs_answered_is_not_kept(tmp_path):
    pair = answers("A?")
    said = pair.answered.model_copy(update={"others": (OtherAnswer(text="x", tokens=1, first_divergence=0),)})
    asked.keep(tmp_path, Answers(question=pair.question, answered=said))
    line = pair.model_copy(update={"answered": said})  # as files have it that were written before
    with (tmp_path / "asked.jsonl").open("a", encoding="utf-8") as file:
        file.write(line.model_dump_json().replace("A?", "B?") + "\n")
    assert [len(one.answered.sides) for one in asked.asked(tmp_path)] == [2, 2]
