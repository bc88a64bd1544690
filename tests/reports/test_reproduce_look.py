"""What is copied from a comparison or a look inside asks for the same again."""

import shlex

import pytest

import apt_core
from apt_core.cli.inspect import question_from
from apt_core.cli.parser import build_parser
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion, LayerQuestion
from apt_core.reports.reproduce_look import comparison_again, look_again
from apt_core.runs.inspecting import Inspector

RUN, OTHER = "20261124-100000-abcd", "20261124-100001-abcd"
QUESTIONS = [
    LayerQuestion(run=RUN, block=3, layer="self_attn.q_proj"),
    LayerQuestion(run=RUN, block=0, layer="mlp.experts.3.down_proj", inputs=True),
    LayerQuestion(run=RUN, block=1, layer="mlp.down_proj", inputs=True, row=0),
    DepthQuestion(run=RUN),
    BlocksAloneQuestion(run=RUN),
]


def parsed(line):
    return build_parser().parse_args(shlex.split(line)[3:])


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_the_command_of_a_look_asks_the_same(question):
    assert question_from(parsed(look_again(question).command)) == question


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_the_python_of_a_look_asks_the_same(question, monkeypatch):
    asked = []
    monkeypatch.setattr(Inspector, "ask", lambda self, question: asked.append(question) or iter(["seen"]))
    scope = {}
    exec(look_again(question).python, scope)
    assert asked == [question] and scope["seen"] == "seen"


def test_a_comparison_is_asked_for_again(monkeypatch):
    again = comparison_again([RUN, OTHER])
    assert parsed(again.command).runs == [RUN, OTHER]
    compared = []
    monkeypatch.setattr(apt_core, "compare", compared.append)
    exec(again.python, {})
    assert compared == [[RUN, OTHER]]
