"""What every test shares: nothing reaches the user's cache, shapes are checked, torch stays small."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

# Before anything of apt_core is imported, here and in every process the tests start.
_HOME = tempfile.mkdtemp(prefix="apt-tests-")
for name in ("APT_DATA", "APT_PUBLIC", "HF_TOKEN"):
    os.environ.pop(name, None)
os.environ["APT_CACHE"] = str(Path(_HOME) / "cache")
os.environ["APT_MEASURE"] = "0"  # no process that measures the machine beside the tests
# Several processes test at once, and threads of theirs beyond the cores would only spin and wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
_TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(_TESTS.parent))
# Helpers that tests of several rooms share.
sys.path.extend(str(_TESTS / room) for room in ("execute", "families", "models", "reports", "runs", "ui"))

# Shapes in the signatures of the maths are checked on every call a test makes.
from jaxtyping import install_import_hook  # noqa: E402 - must come before the import of apt_core.maths

_hook = install_import_hook("apt_core.maths", "beartype.beartype")


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """A cache and a store of one test's own."""
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("APT_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def cuda():
    """Two GPUs that are not there (`standin`)."""
    import standin

    with standin.gpus(2) as devices:
        yield devices


# The files of tests/browser whose visitors prune.
_WITH_RUNS = {
    f"test_{name}_in_the_browser.py"
    for name in (
        *("allocation", "compare", "duel", "inside", "inside_model", "race", "recovery", "runs", "report"),
        "search",
    )
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `pytest -n 3`: a file stays in one process, and the tests that drive a browser do in two of them."""
    from xdist.scheduler import LoadScopeScheduling

    class TwoBrowsers(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if "browser" not in Path(file).parts:
                return file
            return "browser, runs" if Path(file).name in _WITH_RUNS else "browser, the page alone"

    return TwoBrowsers(config, log)


def pytest_collection_modifyitems(config, items):
    """A limit of time says something of the code only where no other test has the processor."""
    if hasattr(config, "workerinput"):
        beside_others = [item for item in items if item.get_closest_marker("alone")]
        items[:] = [item for item in items if item not in beside_others]
        config.hook.pytest_deselected(items=beside_others)


def pytest_sessionfinish(session, exitstatus):
    import shutil

    shutil.rmtree(_HOME, ignore_errors=True)
