"""`runs --search ...` and `label`: what people write on runs, and finding runs by it."""

from __future__ import annotations

import json

import pytest

from apt_core.cli import main
from apt_core.jobs import make_job
from apt_core.runs.labels import Labels
from apt_core.runs.store import Store


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))


@pytest.fixture
def two():
    """An older run by magnitude and a newer one by wanda, both stopped."""
    store = Store()
    ids = [
        store.create(make_job("prune", model={"id": "tiny-random-llama"}, method=method))
        for method in ("magnitude", "wanda")
    ]
    for run_id in ids:
        store.request_cancel(run_id)
    return ids


def said(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def ids(found):
    return [run["run"] for run in found]


def test_label_writes_and_says_what_is_written(two, capsys):
    first, _ = two
    assert main(["label", first]) == 0
    assert capsys.readouterr().out == f"Run {first}: nothing is written on it.\n"
    arguments = [
        "label",
        first,
        "--name",
        "The best",
        "--tag",
        "paper",
        "--tag",
        "to show",
        "--note",
        "A note",
    ]
    assert main([*arguments, "--pin"]) == 0
    assert capsys.readouterr().out.endswith(": name 'The best'; #paper #to show; note 'A note'; pinned.\n")
    assert Store().labels_of(first) == Labels(
        name="The best", tags=("paper", "to show"), note="A note", pinned=True
    )
    now = said(capsys, "label", first, "--untag", "#PAPER", "--tag", "new", "--no-pin", "--note", "")
    assert now == {
        "run": first,
        "labels": {"name": "The best", "tags": ["to show", "new"], "note": "", "pinned": False},
    }


def test_runs_are_found_by_what_was_written(two, capsys):
    first, second = two
    assert main(["label", first, "--name", "The best", "--tag", "paper"]) == 0
    capsys.readouterr()
    assert ids(said(capsys, "runs", "--search", "best")) == [first]
    assert ids(said(capsys, "runs", "--search", "wanda 2:4")) == [second]
    assert ids(said(capsys, "runs", "--tag", "paper")) == [first]
    assert ids(said(capsys, "runs", "list", "--tag", "paper")) == [first]
    assert ids(said(capsys, "runs", "--sort", "oldest")) == two
    assert ids(said(capsys, "runs", "--sort", "oldest", "list", "--limit", "1")) == [first]
    assert ids(said(capsys, "runs", "--status", "finished")) == []
    assert ids(said(capsys, "runs", "--kind", "prune", "--model", "tiny random llama")) == [second, first]
    (found,) = said(capsys, "runs", "--search", "#paper")
    assert found["labels"] == {"name": "The best", "tags": ["paper"], "note": "", "pinned": False}
    assert said(capsys, "runs", "show", first)["labels"] == found["labels"]


def test_the_list_has_a_column_of_names_where_there_are_any(two, capsys):
    first, second = two
    assert main(["runs"]) == 0
    assert "name" not in capsys.readouterr().out
    assert main(["label", first, "--name", "The best", "--tag", "paper", "--pin"]) == 0
    capsys.readouterr()
    assert main(["runs"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert "name" in head and [row.split()[0] for row in rows] == [first, second], "pinned first"
    assert "* The best #paper" in rows[0]
    assert main(["runs", "show", first]) == 0
    assert "Labels: name 'The best'; #paper; pinned." in capsys.readouterr().out


def test_nothing_found_is_a_sentence(two, capsys):
    assert main(["runs", "--search", "xyzzy"]) == 0
    assert "No run is like that" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["runs", "--sort", "colour"], "There is no order 'colour'; choose from newest, oldest,"),
        (["runs", "--status", "asleep"], "There is no status 'asleep'; choose from queued,"),
        (["label", "20200101-000000-0000", "--pin"], "There is no run 20200101-000000-0000"),
        (["label", "../../etc", "--name", "x"], "There is no run '../../etc'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_status_2(arguments, says, capsys):
    assert main([*arguments, "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["message"].startswith(says) and shown.err.count("\n") == 1


def test_a_name_that_is_too_long_is_refused(two, capsys):
    assert main(["label", two[0], "--name", "x" * 81]) == 2
    assert capsys.readouterr().err == "A name has at most 80 characters; this one has 81.\n"


def test_delete_deletes_at_once(two, capsys):
    """What the page hides for a minute, the command line removes: nothing is left of what it says is deleted."""
    assert main(["runs", "delete", two[0]]) == 0
    assert capsys.readouterr().out == f"Run {two[0]} is deleted.\n"
    assert [path.name for path in Store().runs.iterdir()] == [two[1]] and Store().hidden() == []
