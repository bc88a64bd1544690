"""Two browsers at the real server of a public page: cookies, events, endpoints, a restart, the owner's page."""

from __future__ import annotations

import itertools
import json
import uuid
from contextlib import contextmanager

import httpx
import pytest
from ui_helpers import FakeReader

from apt_core.base.policy import HostPolicy
from apt_core.runs.hosting import Hosting
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.ui.admin.guard import Access
from apt_core.ui.api.endpoints import ENDPOINTS
from apt_core.ui.door.visitors import COOKIE, MOST_EVENTS
from apt_core.ui.serving import served
from apt_core.ui.studio import Studio

PUBLIC = HostPolicy(public=True, api=True)
TOKEN = "a-long-and-random-token"
PRUNE = {"model": "tiny-random-llama", "pattern": "2:4", "calibration": "wiki-sample", "eval": "wiki-sample"}


class Idle(Launcher):
    """A queue in which nothing begins."""

    def tick(self, start_next: bool = True) -> None:
        super().tick(start_next=False)


@contextmanager
def host(folder):
    store = Store(folder)
    studio = Studio(store, Idle(store), FakeReader(), {}, PUBLIC, hosting=Hosting(folder))
    with served(studio, "127.0.0.1", 0, access=Access(token=TOKEN)) as address:
        yield address.rstrip("/"), store


def _hangs_on(event, ids, kind):
    return any(target[0] in ids and target[1] == kind for target in event["targets"])


class Browser:
    """A browser at the page: its cookies, and the events that it sends."""

    def __init__(self, address, cookies=None):
        self.http = httpx.Client(base_url=address, cookies=cookies, timeout=30)
        self.http.get("/")
        self.config = self.http.get("/config").json()

    def event(self, element, kind="click"):
        """The event that hangs on a component of this id."""
        ids = {one["id"] for one in self.config["components"] if one["props"].get("elem_id") == element}
        return next(one for one in self.config["dependencies"] if _hangs_on(one, ids, kind))

    def send(self, element, data, kind="click", fields=None):
        event = self.event(element, kind)
        body = {"fn_index": event["id"], "data": data, "session_hash": uuid.uuid4().hex, "event_data": fields}
        return body, self.http.post("/gradio_api/queue/join", json=body)

    def press(self, element, data, kind="click", fields=None):
        """Send it and wait for its last word."""
        body, sent = self.send(element, data, kind, fields)
        assert sent.status_code == 200, sent.text
        query = {"session_hash": body["session_hash"]}
        with self.http.stream("GET", "/gradio_api/queue/data", params=query) as stream:
            for line in stream.iter_lines():
                said = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if said.get("msg") == "process_completed":
                    return said
        raise AssertionError("no last word")

    def ask(self, endpoint, **values):
        """What an endpoint answers, or its error."""
        arguments = next(one for one in ENDPOINTS if one.name == endpoint).arguments
        data = [values.get(one.name, one.default) for one in arguments]
        event = self.http.post(f"/gradio_api/call/{endpoint}", json={"data": data}).json()["event_id"]
        lines = self.http.get(f"/gradio_api/call/{endpoint}/{event}").text.splitlines()
        kind, said = next(
            pair for pair in itertools.pairwise(lines) if pair[0] in ("event: complete", "event: error")
        )
        answer = json.loads(said.removeprefix("data: "))
        return answer[0] if kind == "event: complete" else answer

    @property
    def cookie(self):
        return self.http.cookies[COOKIE]


def test_two_visitors_and_the_owner_of_the_host(tmp_path):
    with host(tmp_path / "data") as (address, store):
        ann, bob = Browser(address), Browser(address)
        assert ann.cookie != bob.cookie
        run = ann.ask("prune", **PRUNE)["run"]
        assert store.owner_of(run).startswith("v:")

        # a list for each; by its id a run can be read
        assert [one["run"] for one in ann.ask("runs")] == [run] and bob.ask("runs") == []
        assert bob.ask("run", id=run)["run"] == run
        assert ann.http.get(f"/studio/runs/{run}/results.json").status_code == 200

        # Bob sends what Ann's Stop would send
        said = bob.press("stop", [{"run": run}])
        assert "only they can stop" in json.dumps(said) and store.get(run).status == "queued"
        stranger = Browser(address)
        stranger.http.cookies.clear()
        assert "needs its cookie" in json.dumps(stranger.press("stop", [{"run": run}]))
        forged = Browser(address, {COOKIE: ann.cookie[:-3] + "abc"})
        forged.press("stop", [{"run": run}])
        assert store.get(run).status == "queued"

    with host(tmp_path / "data") as (address, store):  # after a restart
        again = Browser(address, {COOKIE: ann.cookie})
        assert [one["run"] for one in again.ask("runs")] == [run]
        again.press("stop", [{"run": run}])
        assert store.get(run).status == "cancelled"

        # the page of the host's owner
        owner = httpx.Client(base_url=address, follow_redirects=True)
        assert owner.get("/admin").status_code == 401 and run not in owner.get("/admin/").text
        assert owner.post("/admin/login", data={"token": TOKEN}).status_code == 200
        assert run in owner.get("/admin/").text
        owner.post("/admin/do", data={"action": "ban", "visitor": store.owner_of(run)})
        assert "has blocked you" in str(again.ask("prune", **PRUNE))
        assert owner.post("/admin/do", data={"action": "delete", "run": run}).status_code == 200
        assert store.list() == []


@pytest.mark.slow
def test_a_flood_of_events_is_answered_to_its_sender_alone(tmp_path, monkeypatch):
    """They wait in Gradio's queue, which has an end for everybody."""
    with host(tmp_path / "data") as (address, _):
        ann, bob = Browser(address), Browser(address)
        monkeypatch.setattr("gradio.queueing.Queue.get_events", lambda queue: None)
        answers = [ann.send("again", [{}])[1] for _ in range(MOST_EVENTS + 30)]
        refused = [one for one in answers if one.status_code == 429]
        assert 503 not in {one.status_code for one in answers} and len(refused) >= 20
        assert "wait already" in refused[0].json()["detail"]
        assert bob.send("again", [{}])[1].status_code == 200
