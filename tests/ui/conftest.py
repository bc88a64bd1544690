"""What every test of the page shares: no test asks the network whether it is there."""

import pytest

from apt_core.ui.forms import missing


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    """A package index that answers; reachable.clear() takes it away."""
    answering = {"index"}
    monkeypatch.setattr(missing, "_on_index", lambda pin: "index" in answering)
    missing.forget()
    yield answering
    missing.forget()
