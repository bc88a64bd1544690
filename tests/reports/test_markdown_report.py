"""The report as Markdown, read again by a Markdown parser."""

import pytest
from report_runs import NASTY, a_race, hostile, the_report
from ui_helpers import a_record

from apt_core.reports import markdown
from apt_core.reports.markdown import to_markdown

parser = pytest.importorskip("markdown_it", reason="pip install markdown-it-py")


def tokens_of(text):
    return parser.MarkdownIt("gfm-like", {"linkify": False}).parse(text)


def test_every_chart_is_a_table_with_its_numbers():
    report = the_report(*a_race())
    tokens = tokens_of(to_markdown(report))
    of_all = 3  # the overview, what differs, and what each kept
    expected = len(report.charts) + of_all + len(report.sections)  # the sizes of each run
    assert sum(token.type == "table_open" for token in tokens) == expected
    texts = [token.content for token in tokens if token.type == "inline"]
    assert "0.0600" in texts and "20.0" in texts


def test_the_code_is_there_as_it_is():
    tokens = tokens_of(to_markdown(the_report(a_record())))
    fences = {token.info: token.content for token in tokens if token.type == "fence"}
    assert fences["sh"].startswith("python -m apt_core prune --model tiny-random-llama")
    assert fences["python"].startswith("import apt_core\n\nrecord = apt_core.prune(")


def test_what_a_record_says_stays_text():
    tokens = tokens_of(to_markdown(the_report(hostile())))
    inner = [child for token in tokens for child in token.children or []]
    theirs = ("html_block", "html_inline", "image", "link_open")
    assert not [token for token in [*tokens, *inner] if token.type in theirs]
    assert any(NASTY in "".join(child.content for child in token.children or []) for token in tokens)
    assert [token.tag for token in tokens if token.type == "heading_open"].count("h1") == 1


TEXTS = [NASTY, "1. one", "- one", "+ x", "a\n\n# b", "---", "===", "> x", "a|b", "``` x", "-3", "3.5"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_from_the_parser_as_it_went_in(text):
    tokens = tokens_of(markdown.escaped(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert "".join(child.content for child in tokens[1].children) == " ".join(text.split())


def test_a_fence_is_longer_than_any_in_the_code():
    (fence,) = tokens_of(markdown.fenced("a\n````\nb", "sh"))
    assert fence.type == "fence" and fence.content == "a\n````\nb\n"
