"""Blind votes are kept for each visitor and pair, bounded, and whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from apt_core.base.errors import DiskFull, StoreUnusable
from apt_core.runs import votes as votes_file
from apt_core.runs.votes import Tally, Votes

DENSE, RUN, OTHER = "dense:tiny-llama", "run:20261124-100000-abcd", "run:20261124-100001-abcd"


@pytest.fixture
def votes(tmp_path):
    return Votes(tmp_path)


def test_votes_are_counted_for_a_visitor_and_a_pair(votes, tmp_path):
    for choice in ("first", "first", "second", "tie", "bad"):
        votes.add("me", DENSE, RUN, choice)
    votes.add("me", RUN, OTHER, "second")
    votes.add("you", DENSE, RUN, "second")
    again = Votes(tmp_path)
    assert again.tally("me", DENSE, RUN) == Tally(first=2, second=1, ties=1, bad=1)
    assert again.tally("me", OTHER, RUN) == Tally(first=1)
    assert again.tally("you", DENSE, RUN) == Tally(second=1)
    assert again.tally("nobody", DENSE, RUN).votes == 0


def test_the_order_in_which_a_pair_is_named_does_not_matter(votes):
    votes.add("me", DENSE, RUN, "first")
    votes.add("me", RUN, DENSE, "first")
    votes.add("me", RUN, DENSE, "tie")
    assert votes.tally("me", DENSE, RUN) == Tally(first=1, second=1, ties=1)
    votes.add("me", RUN, DENSE, "second")
    assert votes.tally("me", RUN, DENSE) == Tally(first=1, second=2, ties=1)


def test_ties_are_no_part_of_the_share():
    tally = Tally(first=3, second=1, ties=10, bad=10)
    assert (tally.votes, tally.decided) == (24, 4)
    assert tally.interval == Tally(first=3, second=1).interval
    assert Tally(ties=5).interval == (None, None)


def test_neither_the_visitor_nor_what_was_asked_is_in_the_file(votes, tmp_path):
    votes.add("my secret number", DENSE, RUN, "first")
    (file,) = (tmp_path / "votes").iterdir()
    assert "secret" not in file.name + file.read_text() and file.suffix == ".jsonl"


def test_a_visitor_cannot_name_a_file(votes, tmp_path):
    votes.add("../../etc/passwd", DENSE, RUN, "first")
    assert [path.parent for path in tmp_path.rglob("*.jsonl")] == [tmp_path / "votes"]


def test_only_so_many_votes_and_visitors_are_kept(votes, tmp_path, monkeypatch):
    monkeypatch.setattr(votes_file, "MOST_VOTES", 3)
    monkeypatch.setattr(votes_file, "MOST_VISITORS", 2)
    for choice in ("first", "second", "second", "second"):
        votes.add("me", DENSE, RUN, choice)
    assert votes.tally("me", DENSE, RUN) == Tally(second=3)
    for place, visitor in enumerate(("a", "b")):
        votes.add(visitor, DENSE, RUN, "tie")
        os.utime(votes._file(visitor), (2e9 + place, 2e9 + place))
    assert len(list((tmp_path / "votes").iterdir())) == 2 and votes.tally("me", DENSE, RUN).votes == 0


def test_a_torn_line_costs_that_vote_alone(votes):
    votes.add("me", DENSE, RUN, "first")
    file = votes._file("me")
    file.write_bytes(file.read_bytes() + b'{"version":1,"at"\xff\n{"version":2,"new":"field"}\n')
    votes.add("me", DENSE, RUN, "first")
    assert votes.tally("me", DENSE, RUN) == Tally(first=2)


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EACCES, StoreUnusable)])
def test_a_vote_that_cannot_be_written_is_a_sentence_and_leaves_what_was_there(
    votes, monkeypatch, number, error
):
    votes.add("me", DENSE, RUN, "first")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(votes_file.os, "replace", refuse)
    with pytest.raises(error):
        votes.add("me", DENSE, RUN, "second")
    assert votes.tally("me", DENSE, RUN) == Tally(first=1)
    assert not [path for path in votes._file("me").parent.iterdir() if path.suffix == ".part"]
