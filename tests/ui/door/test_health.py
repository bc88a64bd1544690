"""What a machine asks of the page."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from ui_helpers import a_record

from apt_core.base.errors import BadInput
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.ui.door import health
from apt_core.ui.door.health import Metrics

OPEN = Metrics(open=True)


def client(live, metrics=OPEN):
    answers: Counter[int] = Counter()
    door = [Middleware(health.Answers, counts=answers)]
    return TestClient(Starlette(routes=health.routes(live, answers, metrics), middleware=door))


def runs():
    return [a_record().model_copy(update={"status": status}) for status in ("running", "queued", "queued")]


def test_health_says_how_much_is_going_on():
    told = client(runs).get("/health").json()
    assert told["status"] == "ok" and told["waiting"] == 2 and told["running"] == 1


def test_a_store_that_cannot_be_read_is_unwell():
    def broken():
        raise BadInput("The index is locked.")

    answer = client(broken).get("/health")
    assert answer.status_code == 503 and answer.json()["why"] == "The index is locked."
    assert client(broken).get("/metrics").status_code == 503


def test_metrics_are_prometheus_text():
    page = client(runs)
    page.get("/nowhere")
    families = {one.name: one for one in text_string_to_metric_families(page.get("/metrics").text)}
    assert families["apt_runs_waiting"].samples[0].value == 2
    by_status = {
        sample.labels["status"]: sample.value for sample in families["apt_page_answers_total"].samples
    }
    assert by_status["404"] == 1


def test_metrics_are_not_for_strangers():
    assert client(runs, metrics=Metrics()).get("/metrics").status_code == 404


TOKEN = "a-long-and-random-token"


@pytest.mark.parametrize("given", ["", TOKEN, f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer "])
def test_a_token_opens_the_metrics_and_nothing_else_does(given):
    page = client(runs, metrics=Metrics.of(STRICT, {"APT_METRICS": TOKEN}))
    refused = page.get("/metrics", headers={"Authorization": given} if given else {})
    assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    assert "apt_runs" not in refused.text
    allowed = page.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert allowed.status_code == 200 and "apt_runs_waiting 2.0" in allowed.text


def test_metrics_are_open_at_home_and_off_on_a_public_host_unless_its_owner_says():
    assert Metrics.of(PRIVATE, {}) == Metrics(open=True) and Metrics.of(STRICT, {}) == Metrics()
    assert (
        Metrics.of(PRIVATE, {"APT_METRICS": "off"}) == Metrics.of(STRICT, {"APT_METRICS": "off"}) == Metrics()
    )
    assert Metrics.of(PRIVATE, {"APT_METRICS": TOKEN}) == Metrics(token=TOKEN)
    assert not Metrics().lets_in("Bearer ")
    with pytest.raises(BadInput, match="APT_METRICS has 5 characters"):
        Metrics.of(STRICT, {"APT_METRICS": "token"})
