"""What a machine asks of the page."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from ui_helpers import a_record

from apt_core.base.errors import BadInput
from apt_core.ui.door import health


def client(live, metrics=True):
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
    assert client(runs, metrics=False).get("/metrics").status_code == 404
