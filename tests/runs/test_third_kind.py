"""A kind of job that a package outside adds: no room but its own knows its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from apt_core.runs.starting import REPOSITORY

PACKAGE = """
from typing import ClassVar, Literal
from apt_core import events as ev
from apt_core.jobs import Job

class Count(Job):
    title: ClassVar[str] = "Count"
    kind: Literal["count"] = "count"
    upto: int = 3

    @property
    def labels(self):
        return self.title, f"to {self.upto}"

    def request(self, name):
        return super().request(name) | {"upto": self.upto}

def run(job, context):
    for number in range(job.upto):
        yield ev.Progress(stage="count", done=number, total=job.upto)
    yield ev.Evaluated(subject="model", perplexity=float(job.upto), windows=1, length=16, tokens=15, text="numbers",
                       protocol="fingers", seconds=0.0)
    (context.folder / "counted").write_text(context.device)
    yield ev.Finished(seconds={"total": 0.1}, peak_rss_bytes=1)
"""
SCRIPT = """
import sys
from pathlib import Path
from apt_core.cli import main
from apt_core.events.records import summary
from apt_core.jobs import make_job
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
store = Store()
record = Launcher(store, interval=0.05).wait(store.create(make_job("count", model={"id": "tiny-llama"}, upto=5)))
assert record.status == "finished", record.failure
assert summary(record)["upto"] == 5 and record.job.label == "Count · to 5"
assert (store.folder(record.id) / "counted").read_text() == "auto"
(store.root / "runs.db").unlink()
assert Store().get(record.id).job == record.job
assert main(["runs"]) == 0 and main(["runs", "show", record.id]) == 0
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A package with entry points, on the path of every process that is started from here."""
    (tmp_path / "counting.py").write_text(PACKAGE)
    info = tmp_path / "counting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[apt_core.jobs]\ncount = counting:Count\n[apt_core.execute]\ncount = counting:run\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(REPOSITORY)]))
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    return tmp_path


def python(script):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
    )


def test_a_third_kind_goes_through_store_queue_worker_and_command_line(outside):
    said = python(SCRIPT)
    assert said.returncode == 0, said.stderr
    assert "Count · to 5" in said.stdout and "5.00 (1 windows of 16 tokens of numbers)" in said.stdout


def test_a_job_whose_package_is_gone_does_not_hide_the_others(outside, monkeypatch):
    assert python(SCRIPT).returncode == 0
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    said = python("from apt_core.cli import main; raise SystemExit(main(['runs', '--json']))")
    assert said.returncode == 0 and json.loads(said.stdout) == []
    assert "another version of the app" in said.stderr
