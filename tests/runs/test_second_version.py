"""A data folder of the second version (studies, and runs made from runs) opens with the same figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from apt_core.events.records import summary
from apt_core.runs import migrations
from apt_core.runs.query import Query, select
from apt_core.runs.store import Store
from tests.runs.test_migrations import copies, version

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "store-v2"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())
TIMES = ("created_at", "started_at", "ended_at")


@pytest.fixture
def old(tmp_path):
    """A copy, in another folder than the one it was made in."""
    return Store(Path(shutil.copytree(FIXTURE, tmp_path / "moved")))


def as_before(now, expected):
    """Without what later versions say in addition."""
    if isinstance(now, dict) and isinstance(expected, dict):
        return {name: as_before(now[name], expected[name]) for name in now if name in expected}
    if isinstance(now, list) and isinstance(expected, list) and len(now) == len(expected):
        return [as_before(*pair) for pair in zip(now, expected, strict=True)]
    return now


@pytest.mark.parametrize("run_id", EXPECTED["runs"])
def test_every_run_has_the_figures_that_it_had(old, run_id):
    record, expected = old.get(run_id), EXPECTED["runs"][run_id]
    now = json.loads(json.dumps(summary(record))) | {"checkpoint": None}
    assert as_before({name: now[name] for name in expected if name not in TIMES}, expected) == {
        name: value for name, value in expected.items() if name not in TIMES
    }
    assert {name: getattr(record, name) for name in TIMES} == {name: expected[name] for name in TIMES}


def test_it_is_migrated_once_and_lists_the_same_with_its_index_or_without(old):
    newest = list(EXPECTED["runs"])[::-1]
    entries = old.entries()
    assert [entry.run.id for entry in entries] == newest == [record.id for record in old.list()]
    (kept,) = copies(old.root)
    assert kept.startswith("runs.db.v2-") and version(old.root) == migrations.VERSION
    (old.root / "runs.db").unlink()
    assert Store(old.root).entries() == entries
    assert [entry.run.id for entry in select(entries, Query(status="failed"))] == [
        run for run in newest if EXPECTED["runs"][run]["status"] == "failed"
    ]


def test_its_studies_are_the_same(old):
    for study, runs in EXPECTED["studies"].items():
        assert [record.id for record in old.runs_of(study)] == runs
