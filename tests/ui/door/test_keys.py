"""The keys that sign cookies: in a file for their owner alone, the two newest, shared by processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat

import pytest
from itsdangerous import BadSignature

from apt_core.ui.door.keys import SigningKeys

DAY = 86_400


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_the_file_is_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        SigningKeys(tmp_path).serializer("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert len(json.loads((tmp_path / "keys.json").read_text())) == 1


def test_processes_and_restarts_share_them(tmp_path):
    signed = SigningKeys(tmp_path).serializer("x").dumps("ann")
    assert SigningKeys(tmp_path).serializer("x").loads(signed) == "ann"
    with pytest.raises(BadSignature):
        SigningKeys(tmp_path).serializer("y").loads(signed)


def test_a_key_signs_for_a_month_and_reads_for_one_more(tmp_path, clock):
    keys = SigningKeys(tmp_path, clock=clock)
    first = keys.serializer("x").dumps("ann")
    clock.now += 29 * DAY
    assert keys.serializer("x").loads(first) == "ann" and len(keys._current()) == 1
    clock.now += 2 * DAY
    second = keys.serializer("x").dumps("ann")
    assert keys.serializer("x").loads(first) == keys.serializer("x").loads(second) == "ann"
    clock.now += 31 * DAY
    assert keys.serializer("x").loads(second) == "ann"
    with pytest.raises(BadSignature):
        keys.serializer("x").loads(first)
    assert len(json.loads((tmp_path / "keys.json").read_text())) == 2


def test_two_processes_make_one_new_key(tmp_path, clock):
    one, other = SigningKeys(tmp_path, clock=clock), SigningKeys(tmp_path, clock=clock)
    one.serializer("x"), other.serializer("x")
    clock.now += 31 * DAY
    signed = one.serializer("x").dumps("ann")
    assert other.serializer("x").loads(signed) == "ann" and one._current() == other._current()


@pytest.mark.parametrize("text", ["", "{", "[]", '[{"made": "x"}]', "7", "null"])
def test_a_torn_file_is_made_anew(tmp_path, text):
    (tmp_path / "keys.json").write_text(text)
    signed = SigningKeys(tmp_path).serializer("x").dumps("ann")
    assert SigningKeys(tmp_path).serializer("x").loads(signed) == "ann"


def test_a_folder_that_cannot_be_locked_is_done_without(tmp_path, monkeypatch):
    """As of some networks."""

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    keys = SigningKeys(tmp_path)
    assert keys.serializer("x").loads(keys.serializer("x").dumps("ann")) == "ann"
    assert SigningKeys(tmp_path).serializer("x").loads(keys.serializer("x").dumps("bob")) == "bob"


def test_without_a_folder_they_live_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    keys = SigningKeys(tmp_path / "file")
    assert keys.serializer("x").loads(keys.serializer("x").dumps("ann")) == "ann"
