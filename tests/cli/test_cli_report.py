"""`report`: one file of runs or a study; what cannot be written is one sentence and exit status 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from ui_helpers import a_recipe, some_events

from apt_core.cli import main
from apt_core.runs.starting import REPOSITORY
from apt_core.runs.store import Store
from apt_core.studies.race import RACE
from tests.runs.helpers import small_disk


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def run():
    """A finished run of the store."""
    return finish(Store().create(a_recipe()))


def finish(run_id, **changes):
    store = Store()
    for event in some_events(**changes)[1:]:
        store.append(run_id, event)
    return run_id


def a_study():
    study = Store().create_study(RACE, [a_recipe(method=name) for name in ("apt", "wanda", "magnitude")])
    for run_id in study.runs[:2]:
        finish(run_id)
    return study


def test_a_run_becomes_one_html_file(run, tmp_path, capsys):
    file = tmp_path / "report.html"
    assert main(["report", run, "--html", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"report": str(file), "runs": [run], "bytes": file.stat().st_size}
    text = file.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>") and "is clearly worse" in text
    assert [path.name for path in tmp_path.iterdir() if path.name != "data"] == ["report.html"]


def test_a_study_becomes_markdown_with_every_run_of_it(tmp_path, capsys):
    study, file = a_study(), tmp_path / "report.md"
    assert main(["report", study.id, "--markdown", str(file)]) == 0
    assert "Three runs of Tiny <b>Llama</b>" in capsys.readouterr().out
    text = file.read_text("utf-8")
    assert "## Side by side" in text and text.count("| waiting |") == 2  # side by side, and the race
    assert all(run_id in text for run_id in study.runs)


def test_runs_can_be_named_one_by_one(run, tmp_path):
    other = finish(Store().create(a_recipe(method="wanda")))
    file = tmp_path / "report.md"
    assert main(["report", f"{run}, {other},", "--markdown", str(file)]) == 0
    assert file.read_text("utf-8").startswith("# Two runs of")


def refused(arguments, capsys):
    """The one sentence, said to a person and to a program."""
    assert main(["report", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert main(["report", *arguments, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"] == err.strip()
    return err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("20200101-000000-abcd", "There is no run and no study '20200101-000000-abcd'"),
        ("../../etc/passwd", "There is no run and no study '../../etc/passwd'"),
        (",", "Name a run, a study, or several runs with commas"),
    ],
)
def test_what_is_no_run_is_a_sentence(name, sentence, tmp_path, capsys):
    assert sentence in refused([name, "--html", str(tmp_path / "x.html")], capsys)
    assert not (tmp_path / "x.html").exists()


def test_a_report_of_nothing_is_a_sentence(tmp_path, capsys):
    queued = Store().create(a_recipe())
    said = refused([queued, "--html", str(tmp_path / "x.html")], capsys)
    assert f"Run {queued} is waiting and has no numbers to report yet." in said


def test_a_file_that_is_there_is_kept_unless_force_is_given(run, tmp_path, capsys):
    file = tmp_path / "mine.md"
    file.write_text("mine")
    assert "exists already" in refused([run, "--markdown", str(file)], capsys)
    assert file.read_text() == "mine"
    assert main(["report", run, "--markdown", str(file), "--force"]) == 0
    assert file.read_text("utf-8").startswith("# Tiny")


def test_places_that_cannot_hold_a_file_are_sentences(run, tmp_path, capsys):
    assert "is a folder" in refused([run, "--html", str(tmp_path)], capsys)
    assert "There is no folder" in refused([run, "--html", str(tmp_path / "no" / "x.html")], capsys)
    assert "cannot be written" in refused([run, "--html", "/proc/x.html"], capsys)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(run, tmp_path, capsys):
    with small_disk(tmp_path / "disk", "64k") as disk:
        said = refused([run, "--html", str(disk / "x.html")], capsys)
        assert "is full, so nothing was written" in said
        assert list(disk.iterdir()) == []


def test_a_study_that_cannot_be_read_is_a_sentence(tmp_path, capsys, data):
    study = a_study()
    for run_id in study.runs:
        Store().request_cancel(run_id)
        Store().delete(run_id)
    assert "no run and no study" in refused([study.id, "--html", str(tmp_path / "x.html")], capsys)


def test_from_a_shell_nothing_but_the_json_is_on_standard_output(run, tmp_path):
    arguments = ["report", run, "--html", str(tmp_path / "x.html"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "apt_core", *arguments],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ,
    )
    assert done.returncode == 0 and json.loads(done.stdout)["runs"] == [run] and done.stderr == ""
