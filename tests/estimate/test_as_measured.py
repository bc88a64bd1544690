"""What the estimate says today of the runs that were measured last, on the machine that they were measured on."""

from __future__ import annotations

import json

import pytest

from apt_core.estimate import memory, preflight
from benchmarks.preflight import ODD, RESULTS, foretold

NEWEST = json.loads(RESULTS.read_text().splitlines()[-1])
ROWS = {f"{row['model']} {row['method']}": row for row in NEWEST["rows"]}


@pytest.fixture
def there(monkeypatch):
    """The machine of the record, whatever this one has."""
    monkeypatch.setattr(memory, "this_process", lambda: NEWEST["machine"]["process"])
    monkeypatch.setattr(preflight, "free_memory", lambda: 20_000_000_000)


def test_every_method_and_five_odd_compositions_were_measured():
    from apt_core.methods import METHODS

    for model in ("tiny-llama", "tiny-mamba", "smollm2-135m"):
        measured = {row["method"] for row in NEWEST["rows"] if row["model"] == model}
        assert measured >= {*METHODS, *ODD}


@pytest.mark.parametrize("name", ROWS)
def test_time_within_a_quarter_and_memory_within_15_percent(name, there):
    row = ROWS[name]
    said = foretold(row, NEWEST)
    assert said.seconds == pytest.approx(row["first"], rel=0.25)
    assert said.memory_bytes == pytest.approx(row["memory"], rel=0.15)
