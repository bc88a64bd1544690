"""A data folder that the first version made opens with the same figures, wherever it lies now.

`tests/fixtures/store-v1` holds its runs (finished, failed, cancelled, waiting, one that needed a sign-in, a race),
`expected.json` what that version said of them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from apt_core.events.records import summary
from apt_core.runs.store import Store

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "store-v1"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())
FIGURES = (
    *(
        "run",
        "status",
        "model",
        "method",
        "pattern",
        "calibration",
        "seed",
        "sparsity",
        "mean_relative_error",
    ),
    *("perplexity", "tokens_per_second", "bytes_on_disk", "seconds", "peak_rss_bytes", "layers", "warnings"),
    *("failure", "device", "dtype", "hardware", "versions"),
)
TIMES = ("created_at", "started_at", "ended_at")


@pytest.fixture
def old(tmp_path):
    """A copy, in another folder than the one it was made in."""
    return Store(Path(shutil.copytree(FIXTURE, tmp_path / "moved")))


@pytest.mark.parametrize("run_id", EXPECTED["runs"])
def test_every_run_has_the_figures_that_it_had(old, run_id):
    record, expected = old.get(run_id), EXPECTED["runs"][run_id]
    now = json.loads(json.dumps(summary(record)))
    assert {name: now[name] for name in FIGURES} == {name: expected[name] for name in FIGURES}
    assert {name: getattr(record, name) for name in TIMES} == {name: expected[name] for name in TIMES}


def test_the_list_holds_every_run_in_its_order(old):
    assert [record.id for record in old.list()] == list(EXPECTED["runs"])[::-1]
