"""Who may open the page of the host's owner."""

from __future__ import annotations

import time

import pytest

from apt_core.base.errors import BadInput
from apt_core.base.policy import PRIVATE, STRICT, HostPolicy
from apt_core.ui.admin import guard as guard_module
from apt_core.ui.admin.guard import SECONDS, Access, Guard
from apt_core.ui.door.keys import SigningKeys

TOKEN = "a-long-and-random-token"
SPACE = HostPolicy(public=True, signs_in=True)


def signed_in(name, **more):
    return {"session": {"oauth_info": {"userinfo": {"preferred_username": name}, **more}}}


@pytest.fixture
def keys(tmp_path):
    return SigningKeys(tmp_path)


def test_on_a_public_host_it_is_not_there_unless_somebody_may():
    assert not Access.of(STRICT, {}).possible
    assert Access.of(STRICT, {"APT_ADMIN_TOKEN": TOKEN}).possible
    assert Access.of(SPACE, {"APT_ADMINS": "ann, bob"}).accounts == {"ann", "bob"}
    assert not Access.of(STRICT, {"APT_ADMINS": "ann"}).possible, "nobody can sign in there"
    assert Access.of(PRIVATE, {}).possible


@pytest.mark.parametrize("token", ["a", "short", "fifteen-letters"])
def test_a_token_that_can_be_guessed_is_refused(token):
    with pytest.raises(BadInput, match="APT_ADMIN_TOKEN"):
        Access.of(STRICT, {"APT_ADMIN_TOKEN": token})


def test_the_token_brings_a_cookie_that_lets_in(keys):
    guard = Guard(Access(token=TOKEN), keys)
    cookie = guard.cookie_for(TOKEN)
    assert guard.lets_in({}, cookie)
    for wrong in ("", TOKEN[:-1], TOKEN + "a", TOKEN.upper(), "\u2603"):
        assert guard.cookie_for(wrong) == ""
    for forged in (
        None,
        "",
        cookie[:-2],
        cookie + "a",
        keys.serializer("visitor").dumps(guard._fingerprint()),
    ):
        assert not guard.lets_in({}, forged)


def test_an_empty_token_opens_nothing(keys):
    guard = Guard(Access(), keys)
    assert guard.cookie_for("") == "" and not guard.lets_in({}, None)
    assert not guard.lets_in({}, keys.serializer("admin").dumps(guard._fingerprint()))


def test_a_new_token_ends_every_session(keys):
    cookie = Guard(Access(token=TOKEN), keys).cookie_for(TOKEN)
    assert not Guard(Access(token=TOKEN + "2"), keys).lets_in({}, cookie)


def test_a_session_ends_by_itself(keys, monkeypatch):
    guard = Guard(Access(token=TOKEN), keys)
    cookie, now = guard.cookie_for(TOKEN), time.time()
    monkeypatch.setattr("time.time", lambda: now + SECONDS - 60)
    assert guard.lets_in({}, cookie)
    monkeypatch.setattr("time.time", lambda: now + SECONDS + 60)
    assert not guard.lets_in({}, cookie)


def test_accounts_of_the_list_are_let_in(keys):
    guard = Guard(Access(accounts=frozenset({"ann"})), keys)
    assert guard.lets_in(signed_in("ann"), None)
    for scope in ({}, {"session": {}}, signed_in("bob"), signed_in("ann", expires_at=1.0), signed_in("")):
        assert not guard.lets_in(scope, None)


def test_the_comparison_takes_as_long_whatever_is_given(keys, monkeypatch):
    compared = []
    real = guard_module.hmac.compare_digest
    monkeypatch.setattr(
        guard_module.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b)
    )
    guard = Guard(Access(token=TOKEN), keys)
    for given in ("", "a", TOKEN, "a" * 1000):
        guard.cookie_for(given)
    assert compared == [(32, 32)] * 4


def test_tries_are_limited_for_each_and_for_all(keys):
    guard = Guard(Access(token=TOKEN), keys)
    assert [guard.may_try("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert guard.may_try("b")
    assert not any(guard.may_try("a") for _ in range(100)), "and what is refused there keeps nobody else out"
    assert sum(guard.may_try(str(number)) for number in range(100)) == 30 - 6
