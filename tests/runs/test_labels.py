"""What people write on a run stays with it, bounded and readable, whatever happens to the index."""

from __future__ import annotations

import errno
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apt_core.base.errors import BadInput, DiskFull, UnknownRun
from apt_core.runs import labels
from apt_core.runs.labels import LONGEST_NAME, LONGEST_NOTE, LONGEST_TAG, MOST_TAGS, NONE, Labels
from apt_core.runs.store import Store
from tests.runs.test_earlier_versions import EXPECTED, FIXTURE


def test_what_is_not_named_stays(store, recipe):
    run = store.create(recipe)
    assert store.labels_of(run) == NONE
    store.label(run, name="The best", tags=["paper"])
    assert store.label(run, note="of Tuesday", pinned=True).name == "The best"
    assert store.labels_of(run) == Labels(name="The best", tags=("paper",), note="of Tuesday", pinned=True)
    store.label(run, name="", tags=(), note="", pinned=False)
    assert store.labels_of(run) == NONE and not (store.folder(run) / "labels.json").exists()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (" a\n\tb  c ", "a b c"),
        ("\u202egnp.exe", "gnp.exe"),
        ("null\x00 bell\x07", "null bell"),
        ("\ud800half", "half"),
        ("Bestes Ergebnis — 最好的", "Bestes Ergebnis — 最好的"),
        ("👩‍🔬 lab", "👩‍🔬 lab"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # whoever draws it escapes it
    ],
)
def test_a_name_is_one_line_of_readable_text(store, recipe, written, kept):
    run = store.create(recipe)
    store.label(run, name=written, note=written)
    again = Store(store.root).labels_of(run)
    assert (again.name, again.note) == (kept, kept)


def test_tags_are_named_once_and_without_their_sign():
    assert Labels(tags=("paper", "#Paper", " to  show ", "", "#")).tags == ("paper", "to show")
    assert Labels(tags=labels.tags_of("a, b,,a")).tags == ("a", "b")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "x" * (LONGEST_NAME + 1)}, "A name has at most 80 characters; this one has 81."),
        ({"note": "x" * 10**6}, "A note has at most 500 characters; this one has 1,000,000."),
        ({"tags": ["x" * (LONGEST_TAG + 1)]}, "A tag has at most 24 characters; this one has 25."),
        ({"tags": [f"t{n}" for n in range(MOST_TAGS + 1)]}, "A run has at most 8 tags; these are 9."),
    ],
)
def test_too_much_is_refused_and_nothing_of_it_is_written(store, recipe, changes, says):
    run = store.create(recipe)
    store.label(run, note="before")
    with pytest.raises(BadInput, match=says):
        store.label(run, pinned=True, **changes)
    assert store.labels_of(run) == Labels(note="before")
    longest = {"name": "n" * LONGEST_NAME, "note": "n" * LONGEST_NOTE, "tags": ["t" * LONGEST_TAG]}
    assert store.label(run, **longest).name == "n" * LONGEST_NAME


@pytest.mark.parametrize("run", ["20200101-000000-abcd", "../../etc", "", "x" * 999])
def test_a_run_that_does_not_exist_is_unknown_and_leaves_no_file(store, run):
    store.list()
    with pytest.raises(UnknownRun):
        store.label(run, name="x")
    assert not list(store.root.rglob("labels*"))


def test_labels_survive_a_lost_index_and_a_moved_folder(store, recipe):
    run = store.create(recipe)
    store.request_cancel(run)
    store.label(run, name="Kept", tags=["a"])
    (store.root / "runs.db").write_bytes(b"rubbish" * 1000)
    (entry,) = Store(store.root).entries()
    assert (entry.name, entry.labels.tags) == ("Kept", ("a",))
    moved = Store(Path(shutil.move(store.root, store.root.with_name("elsewhere"))))
    assert moved.labels_of(run).name == "Kept"


def test_runs_of_an_earlier_version_can_be_labelled(tmp_path):
    old = Store(Path(shutil.copytree(FIXTURE, tmp_path / "data")))
    run = next(iter(EXPECTED["runs"]))
    old.label(run, name="From before")
    assert [entry.run.id for entry in old.entries()] == list(EXPECTED["runs"])[::-1]
    assert {entry.name for entry in old.entries() if entry.labels != NONE} == {"From before"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"name": 3, "tags": 4}', b'{"name": "' + b"x" * 999 + b'"}']
)
def test_torn_or_foreign_labels_hide_no_run(store, recipe, content):
    run = store.create(recipe)
    (store.folder(run) / "labels.json").write_bytes(content)
    assert [entry.labels for entry in store.entries()] == [NONE]
    assert store.label(run, name="anew").name == "anew"


def test_what_a_later_version_adds_is_left_alone(store, recipe):
    run = store.create(recipe)
    (store.folder(run) / "labels.json").write_text(json.dumps({"name": "N", "colour": "green"}))
    assert store.labels_of(run) == Labels(name="N")


def test_a_full_disk_is_one_sentence_and_the_old_labels_stay(store, recipe, monkeypatch):
    run = store.create(recipe)
    store.label(run, name="before")

    def full(self, *args, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskFull, match="free some space"):
        store.label(run, name="after")
    assert store.labels_of(run).name == "before"


def test_many_at_once_lose_no_change(store, recipe):
    run = store.create(recipe)
    changes = [{"name": "N"}, {"note": "W"}, {"tags": ["t"]}, {"pinned": True}] * 4
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda change: Store(store.root).label(run, **change), changes))
    assert store.labels_of(run) == Labels(name="N", note="W", tags=("t",), pinned=True)
