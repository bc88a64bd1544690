"""A page on a ZeroGPU Space: it works on its visitor's runs while it is open, and says what is in the way."""

from __future__ import annotations

import pytest
from browser_app import App
from browser_steps import choose_tiny, prune, says, text, wait_for_end

from apt_core.runs.store import Store
from tests.zerogpu_stand_in import device_service

pytest.importorskip("spaces")


@pytest.fixture
def space(tmp_path):
    with device_service() as (service, environment):
        data = {"APT_DATA": str(tmp_path / "data"), "APT_GPU_CALL_SECONDS": "40"}
        app = App(tmp_path, "tests/zerogpu_stand_in.py", **environment, **data).start()
        app.service, app.store = service, Store(tmp_path / "data")
        yield app
        app.stop()


@pytest.mark.slow
def test_an_open_page_does_its_visitors_run_and_a_spent_quota_is_said(open_page, space):
    page = open_page(address=space.address, extra_http_headers={"X-IP-Token": "of-the-visitor"})
    choose_tiny(page)
    assert "Done on a ZeroGPU, in calls of up to 40 s while this page is open" in text(page, "#preflight")
    space.service.left = 10
    run = prune(page)
    says(page, "#note", "The GPU could not be had just now", seconds=30)
    assert "quota" in text(page, "#note") and space.store.get(run).status == "queued"
    space.service.left = None
    wait_for_end(page, 150)
    assert space.store.get(run).status == "finished"
    assert {call["token"] for call in space.service.calls()} == {"of-the-visitor"}
    page.wait_for_timeout(5000)  # nothing waits, so nothing more is asked for
    asked = len(space.service.calls())
    page.wait_for_timeout(5000)
    assert len(space.service.calls()) == asked
