"""What is stored comes back, whatever happened to the files in the meantime."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from apt_core import events as ev
from apt_core.base.errors import BadInput, DiskFull, StoreUnusable, UnknownRun
from apt_core.runs import keeping
from apt_core.runs.ids import is_run_id, new_id
from apt_core.runs.store import Store
from tests.runs.fake_worker import finished, layer, save


def finish(store, run_id, size=1000):
    with store.index.write() as rows:
        rows.update(run_id, status="finished")
    store.append(run_id, ev.Started(pid=1))
    store.append(run_id, layer(0))
    store.append(run_id, finished(save(store.folder(run_id), size)))


def test_a_new_run_waits_with_its_recipe(store, recipe):
    run_id = store.create(recipe)
    assert is_run_id(run_id)
    record = store.get(run_id)
    assert (record.status, record.job, record.live) == ("queued", recipe, True)
    assert store.position(run_id) == 1
    assert [stamped.event.kind for stamped in store.events_since(run_id)] == ["queued"]
    assert abs(record.created_at - time.time()) < 5


def test_ids_sort_by_time():
    assert new_id(0) < new_id(1) < new_id(10**9)


def test_runs_are_listed_newest_first_and_places_count(store, recipe):
    ids = [store.create(recipe) for _ in range(3)]
    assert [record.id for record in store.list()] == ids[::-1]
    assert [record.id for record in store.list(limit=1)] == ids[-1:]
    assert [store.position(run_id) for run_id in ids] == [1, 2, 3]
    store.request_cancel(ids[0])
    assert [store.position(run_id) for run_id in ids] == [None, 1, 2]


def test_a_record_follows_its_log(store, recipe):
    run_id = store.create(recipe)
    finish(store, run_id)
    other = Store(store.root)
    for seen_by in (store, other):
        record = seen_by.get(run_id)
        assert record.status == "finished"
        assert len(record.layers) == 1
    assert store.events_since(run_id, 2)[0].event.kind == "finished"
    assert store.checkpoint(run_id) == store.folder(run_id) / "checkpoint"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "..",
        "../../etc",
        "20261124-130501-a1b2/..",
        "20261124-130501-a1b2\n",
        "20261124-130501-A1B2",
        "x" * 999,
    ],
)
def test_ids_that_are_no_ids_reach_no_file(store, wrong):
    for use in (
        store.get,
        store.events_since,
        store.request_cancel,
        store.delete,
        store.position,
        store.folder,
        store.checkpoint,
    ):
        with pytest.raises(UnknownRun):
            use(wrong)
    with pytest.raises(UnknownRun):
        store.append(wrong, ev.Queued())


def test_a_run_that_does_not_exist_is_unknown_and_leaves_no_folder(store):
    missing = new_id()
    for use in (store.get, store.events_since, store.request_cancel, store.delete, store.position):
        with pytest.raises(UnknownRun):
            use(missing)
    with pytest.raises(UnknownRun):
        store.append(missing, ev.Queued())
    assert not store.folder(missing).exists()


def test_a_queued_run_is_cancelled_at_once(store, recipe):
    run_id = store.create(recipe)
    store.request_cancel(run_id)
    record = store.get(run_id)
    assert record.status == "cancelled"
    assert record.ended_at
    store.request_cancel(run_id)
    assert [stamped.event.kind for stamped in store.events_since(run_id)] == ["queued", "cancelled"]


def test_delete_takes_an_ended_run_and_refuses_a_live_one(store, recipe):
    live, ended = store.create(recipe), store.create(recipe)
    finish(store, ended)
    with pytest.raises(BadInput, match="still queued; cancel it first"):
        store.delete(live)
    store.delete(ended)
    with pytest.raises(UnknownRun):
        store.get(ended)
    assert [path.name for path in store.runs.iterdir()] == [live]


def test_delete_of_a_run_whose_folder_is_gone_already(store, recipe):
    run_id = store.create(recipe)
    finish(store, run_id)
    store.folder(run_id).rename(store.root / "elsewhere")
    assert Store(store.root).get(run_id).status == "finished"
    store.delete(run_id)
    assert store.list() == []


@pytest.mark.parametrize("damage", ["garbage", "truncated", "missing", "empty", "page"])
def test_a_damaged_index_is_made_again_from_the_folders(store, recipe, damage):
    done, waiting, dropped = (store.create(recipe) for _ in range(3))
    finish(store, done)
    store.request_cancel(dropped)
    for suffix in ("-wal", "-shm"):
        (store.root / f"runs.db{suffix}").unlink(missing_ok=True)
    path = store.root / "runs.db"
    match damage:
        case "garbage":
            path.write_bytes(b"not a database at all, by any means" * 100)
        case "truncated":
            path.write_bytes(path.read_bytes()[:5000])
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "page":
            data = bytearray(path.read_bytes())
            data[4096:] = b"\xee" * (len(data) - 4096)
            path.write_bytes(data)
    again = Store(store.root)
    assert {record.id: record.status for record in again.list()} == {
        done: "finished",
        waiting: "queued",
        dropped: "cancelled",
    }
    assert again.position(waiting) == 1
    assert bool(list(store.root.glob("runs.db.corrupt-*"))) == (damage not in ("missing", "empty"))


def test_a_run_that_says_it_runs_but_has_no_worker_is_taken_in_as_running(store, recipe):
    """The launcher then finds its worker dead; see test_launcher."""
    run_id = store.create(recipe)
    store.append(run_id, ev.Started(pid=2**22 - 3))
    (store.root / "runs.db").write_bytes(b"rubbish")
    assert store.get(run_id).status == "running"


def test_a_folder_without_a_readable_recipe_is_left_alone(store, recipe):
    good, bad = store.create(recipe), store.create(recipe)
    (store.folder(bad) / "job.json").write_bytes(b'{"model": \xff')
    (store.root / "runs.db").unlink()
    assert [record.id for record in store.list()] == [good]
    assert store.folder(bad).exists()


def test_a_folder_without_a_readable_log_is_left_alone(store, recipe):
    good, bad = store.create(recipe), store.create(recipe)
    log = store.folder(bad) / "events.jsonl"
    log.unlink()
    log.mkdir()
    for file in store.root.glob("runs.db*"):
        file.unlink()
    assert [record.id for record in store.list()] == [good]
    assert store.folder(bad).exists()


def test_a_recipe_of_another_version_does_not_hide_the_others(store, recipe):
    good, odd = store.create(recipe), store.create(recipe)
    with store.index.write() as rows:
        rows.update(odd, job='{"model": {"id": "x"}, "method": "no-such-method"}')
    assert [record.id for record in store.list()] == [good]
    with pytest.raises(BadInput, match="another version"):
        store.get(odd)


def hold(path, seconds, ready):
    connection = sqlite3.connect(path)
    connection.execute("BEGIN EXCLUSIVE")
    ready.set()
    time.sleep(seconds)
    connection.rollback()
    connection.close()


def test_an_index_held_for_a_while_is_waited_for(store, recipe):
    store.list()
    ready = threading.Event()
    holder = threading.Thread(target=hold, args=(store.root / "runs.db", 1.0, ready))
    holder.start()
    ready.wait()
    run_id = store.create(recipe)
    holder.join()
    assert store.get(run_id).status == "queued"


def test_an_index_held_for_too_long_is_one_sentence_and_leaves_no_folder(tmp_path, recipe):
    store = Store(tmp_path, patience=0.2)
    kept = store.create(recipe)
    ready = threading.Event()
    holder = threading.Thread(target=hold, args=(store.root / "runs.db", 1.0, ready))
    holder.start()
    ready.wait()
    with pytest.raises(StoreUnusable, match=r"held the run index for more than 0\.2 seconds"):
        store.create(recipe)
    holder.join()
    assert [path.name for path in store.runs.iterdir()] == [kept]


def test_a_full_disk_is_one_sentence_and_leaves_no_folder(tmp_path):
    """In a process of its own, whose files may not grow beyond 40 KB: the reserve does not fit."""
    script = f"""
import resource
from apt_core.jobs import make_job
from apt_core.runs.store import Store
store = Store({str(tmp_path)!r})
recipe = make_job("prune", model={{"id": "tiny-random-llama"}}, method="magnitude")
store.list()
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    store.create(recipe)
except Exception as error:
    print(type(error).__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.startswith(DiskFull.__name__)
    assert "free some space" in said
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_root_that_cannot_be_made_is_one_sentence(tmp_path, recipe):
    (tmp_path / "file").write_text("in the way")
    for use in (lambda store: store.create(recipe), lambda store: store.list()):
        with pytest.raises((BadInput, StoreUnusable), match="APT_DATA"):
            use(Store(tmp_path / "file" / "data"))


def test_the_oldest_weights_go_first_and_records_stay(store, recipe):
    ids = [store.create(recipe) for _ in range(4)]
    for run_id in ids:
        finish(store, run_id, size=1000)
    assert store.keep_within(10_000) == []
    assert store.keep_within(2_500) == [ids[1], ids[0]]
    assert [store.checkpoint(run_id) is not None for run_id in ids] == [False, False, True, True]
    assert [record.status for record in store.list()] == ["finished"] * 4
    assert store.keep_within(1) == [ids[2]], "the newest stays, however large"


@pytest.mark.parametrize("text", ["0", "-1", "much", "nan", "1e999"])
def test_a_cap_that_is_no_number_is_refused(monkeypatch, text):
    monkeypatch.setenv("APT_KEEP_GB", text)
    with pytest.raises(BadInput, match="APT_KEEP_GB"):
        keeping.keep_bytes()


def test_the_cap_is_in_gigabytes(monkeypatch):
    monkeypatch.setenv("APT_KEEP_GB", "1.5")
    assert keeping.keep_bytes() == 1_500_000_000
    monkeypatch.delenv("APT_KEEP_GB")
    assert keeping.keep_bytes() == 20_000_000_000
