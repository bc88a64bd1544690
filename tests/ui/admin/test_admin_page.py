"""The page of the host's owner: what it shows, what it does, and whom it turns away."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import apt_core
from apt_core.base.errors import NotYours
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.runs.hosting import Hosting
from apt_core.runs.launcher import Launcher
from apt_core.runs.owners import Visitor
from apt_core.runs.store import Store
from apt_core.ui.acting import acting_for
from apt_core.ui.admin.guard import Access, Guard
from apt_core.ui.admin.routes import routes
from apt_core.ui.door.keys import SigningKeys
from apt_core.ui.studio import Studio

JOB = apt_core.plan("tiny-random-llama", "magnitude", 0.5)
TOKEN = "a-long-and-random-token"
NASTY = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def studio(tmp_path, monkeypatch):
    store = Store(tmp_path)
    launcher = Launcher(store)
    monkeypatch.setattr(launcher, "tick", lambda: None)  # nothing starts
    return Studio(store, launcher, None, {}, STRICT, hosting=Hosting(tmp_path))


@pytest.fixture
def client_of(studio, tmp_path):
    def make(access):
        return TestClient(Starlette(routes=routes(studio, Guard(access, SigningKeys(tmp_path)))))

    return make


@pytest.fixture
def admin(client_of):
    client = client_of(Access(token=TOKEN))
    assert client.post("/admin/login", data={"token": TOKEN}).status_code == 200
    return client


def ended(studio, owner):
    run = studio.store.create(JOB, owner=owner)
    studio.store.request_cancel(run)
    return run


def test_it_is_not_there_where_nobody_may(client_of, studio):
    assert client_of(Access()).get("/admin/").status_code == 404
    assert client_of(Access(home=True)).get("/admin/").status_code == 200


def test_without_the_token_nothing_is_shown_or_done(client_of, studio):
    run = ended(studio, "v:ann")
    client = client_of(Access(token=TOKEN))
    shown = client.get("/admin/")
    assert shown.status_code == 401 and run not in shown.text and "Token of this host" in shown.text
    for data in (
        {"action": "delete", "run": run},
        {"action": "drain"},
        {"action": "ban", "visitor": "v:ann"},
    ):
        assert client.post("/admin/do", data=data).status_code == 401
    assert studio.store.get(run).id == run and studio.hosting.now().banned == frozenset()
    assert client.post("/admin/login", data={"token": "wrong"}).status_code == 401
    assert client.get("/admin/").status_code == 401


def test_tries_end(client_of):
    client = client_of(Access(token=TOKEN))
    tried = [client.post("/admin/login", data={"token": str(number)}).status_code for number in range(7)]
    assert tried == [401] * 5 + [429] * 2
    assert client.post("/admin/login", data={"token": TOKEN}).status_code == 429, "not even the right one"


def test_the_cookie_is_for_this_page_alone(client_of):
    client = client_of(Access(token=TOKEN))
    answer = client.post("/admin/login", data={"token": TOKEN}, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303 and "httponly" in cookie and "samesite=strict" in cookie
    assert "path=/admin" in cookie and TOKEN not in cookie


def test_it_shows_the_queue_in_its_order_and_what_each_has(admin, studio):
    for owner in ("v:ann-number-of-a-cookie", "v:ann-number-of-a-cookie", "hf:bob"):
        studio.store.create(JOB, owner=owner)
    shown = admin.get("/admin/")
    rows = [run.id for run in studio.store.live()]
    assert re.findall(r'\?run=([^"]+)"', shown.text) == rows
    assert "hf:bob" in shown.text and "<code>v:ann-numb</code>" in shown.text
    assert (
        shown.headers["cache-control"] == "no-store"
        and "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    )


def test_runs_of_anybody_are_stopped_and_deleted(admin, studio):
    waiting, over = studio.store.create(JOB, owner="v:ann"), ended(studio, "v:bob")
    assert "asked to stop" in admin.post("/admin/do", data={"action": "stop", "run": waiting}).text
    assert studio.store.get(waiting).status == "cancelled"
    assert "is deleted" in admin.post("/admin/do", data={"action": "delete", "run": over}).text
    assert [run.id for run in studio.store.list()] == [waiting]
    refused = admin.post("/admin/do", data={"action": "delete", "run": "../../etc"})
    assert refused.status_code == 400 and "There is no run" in refused.text


def test_all_of_one_visitor_go_and_nobody_elses(admin, studio):
    for owner in ("v:ann", "v:ann", "v:bob"):
        ended(studio, owner)
    working = studio.store.create(JOB, owner="v:ann")
    assert (
        "2 runs are deleted"
        in admin.post("/admin/do", data={"action": "delete-all", "visitor": "v:ann"}).text
    )
    assert {run.owner for run in studio.store.list()} == {"v:ann", "v:bob"} and studio.store.get(working).live


def test_draining_and_banning_are_kept(admin, studio):
    admin.post("/admin/do", data={"action": "drain"})
    shown = admin.post("/admin/do", data={"action": "ban", "visitor": "v:ann"})
    assert Hosting(studio.store.root).now().draining and "Accept runs again" in shown.text
    assert Hosting(studio.store.root).now().banned == {"v:ann"} and "Serve again" in shown.text
    admin.post("/admin/do", data={"action": "accept"})
    admin.post("/admin/do", data={"action": "unban", "visitor": "v:ann"})
    assert Hosting(studio.store.root).now() == type(studio.hosting.now())()


def test_an_address_is_closed_and_opened_again(admin, studio):
    ann = Visitor(names=("v:ann",), address="2001:db8::/56")
    with acting_for(ann):
        studio.submit([JOB])
    assert "Ban their address" in admin.get("/admin/").text
    shown = admin.post("/admin/do", data={"action": "ban-address", "visitor": "v:ann"}).text
    assert "Closed addresses" in shown and "2001:db8::/56" in shown and "Ban their address" not in shown
    again = Visitor(names=("v:other-cookie",), address="2001:db8::/56")
    with acting_for(again), pytest.raises(NotYours, match="has blocked you"):
        studio.submit([JOB])
    opened = admin.post("/admin/do", data={"action": "unban-address", "address": "2001:db8::/56"}).text
    assert "served again" in opened and "Closed addresses" not in opened
    with acting_for(again):
        studio.submit([JOB])


def test_an_address_that_is_not_known_is_a_sentence(admin, studio):
    studio.store.create(JOB, owner="v:ann")
    answer = admin.post("/admin/do", data={"action": "ban-address", "visitor": "v:ann"})
    assert answer.status_code == 400 and "is not known" in answer.text
    assert "Ban their address" not in answer.text


@pytest.mark.parametrize(
    "data", [{}, {"action": "eval"}, {"action": "ban"}, {"action": "delete-all"}, {"run": "x"}]
)
def test_anything_else_is_a_sentence(admin, studio, data):
    answer = admin.post("/admin/do", data=data)
    assert answer.status_code == 400 and "nothing that can be done here" in answer.text


def test_what_visitors_are_called_stays_text(admin, studio):
    studio.hosting.ban(f"hf:{NASTY}")
    shown = admin.get("/admin/").text
    assert "<img" not in shown and "&lt;img" in shown


def test_at_home_it_is_the_persons_own(client_of, studio):
    studio.policy = PRIVATE
    run = ended(studio, "local")
    client = client_of(Access(home=True))
    assert run in client.get("/admin/").text
    assert client.post("/admin/do", data={"action": "delete", "run": run}).status_code == 200
    assert studio.store.list() == []
