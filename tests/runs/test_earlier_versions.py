"""A data folder that the first version made opens with the same figures, wherever it lies now.

`tests/fixtures/store-v1` holds its runs (finished, failed, cancelled, waiting, one that needed a sign-in, a race),
`expected.json` what that version said of them.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from apt_core.events.records import summary
from apt_core.runs.store import Store
from apt_core.studies.race import race_of

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


def test_weights_are_looked_for_where_the_folder_lies_now(old):
    finished = next(record for record in old.list() if record.finished)
    assert finished.finished.checkpoint == str(old.folder(finished.id) / "checkpoint")
    assert old.checkpoint(finished.id) is None  # the fixture holds none


def test_races_of_version_1_are_the_same_races(old):
    records = old.list()
    for expected in EXPECTED["races"]:
        for run_id in expected:
            race = race_of(old.get(run_id), records)
            assert [member.id for member in race.members] == expected
    alone = set(EXPECTED["runs"]) - {run_id for race in EXPECTED["races"] for run_id in race}
    assert all(race_of(old.get(run_id), records) is None for run_id in alone)


def test_waiting_runs_start_and_the_one_that_needs_a_sign_in_says_so(old, launch):
    launcher = launch("steady", of=old)
    *free, gated = EXPECTED["queue"]
    assert [old.position(run_id) for run_id in EXPECTED["queue"]] == [1, 2, 3]
    assert [launcher.wait(run_id).status for run_id in free] == ["finished", "finished"]
    record = launcher.wait(gated)
    assert (record.status, record.failure.reason) == ("failed", "gated_model")
    assert old.came_with_token(gated)


def test_a_run_that_starts_now_appends_to_its_old_log(old, launch):
    run_id = EXPECTED["queue"][0]
    launch("steady", of=old).wait(run_id)
    lines = (old.folder(run_id) / "events.jsonl").read_text().splitlines()
    assert '"version"' not in lines[0] and lines[1].startswith('{"seq":1,"version":2,')


@pytest.mark.slow
def test_nothing_that_is_written_now_names_the_folder(old, launch, recipe):
    record = launch("steady", of=old).wait(launch("steady", of=old).submit(recipe))
    old.create_study("race", [recipe, recipe])
    with old.index.write() as rows:
        rows.update(record.id, ended_at=record.ended_at)
    written = [*old.folder(record.id).glob("*.json*"), *old.root.glob("studies/*/*")]
    assert len(written) == 3
    assert not any(str(old.root) in path.read_text() for path in written)
    connection = sqlite3.connect(old.root / "runs.db")
    assert not any(str(old.root) in str(row) for row in connection.execute("SELECT * FROM runs"))
    connection.close()
    moved = Store(Path(shutil.move(old.root, old.root.with_name("elsewhere"))))
    assert moved.get(record.id).status == "finished"
    assert moved.checkpoint(record.id) == Path(moved.get(record.id).finished.checkpoint)
    assert moved.checkpoint(record.id).is_relative_to(moved.root)
