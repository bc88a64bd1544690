"""Searching, filtering and sorting the list of runs, and what the index keeps for it."""

from __future__ import annotations

import sqlite3

import pytest

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.jobs import make_job
from apt_core.runs import labels, query
from apt_core.runs import records as records_module
from apt_core.runs.labels import Labels
from apt_core.runs.query import SORTS, Entry, Listed, Query, select
from apt_core.runs.store import Store
from tests.runs.test_store import finish


def entry(number=1, name="", tags=(), note="", pinned=False, **changes):
    run = Listed(
        **{
            "id": f"20261124-1000{number:02}-0000",
            "kind": "prune",
            "status": "finished",
            "created_at": float(number),
            "model": "smollm2-135m",
            "title": "SmolLM2 135M",
            "words": f"smollm2 135m\napt · 2:4\nwikipedia\n20261124-1000{number:02}-0000",
            "method": "APT",
        }
        | changes
    )
    return Entry(run, Labels(name=name, tags=tags, note=note, pinned=pinned))


def numbers(entries):
    return [int(each.run.id[13:15]) for each in entries]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", [3, 2, 1]),
        ("  APT  ", [3, 2, 1]),
        ("best", [2]),
        ("BEST wiki", [2]),
        ("best nothing", []),
        ("2:4", [3, 2, 1]),
        ("#paper", [3]),
        ("#PAPER", [3]),
        ("#pap", []),
        ("paper", [3]),
        ("tuesday", [1]),
        ("#", []),
        ("100003", [3]),
        ("%", []),
        ("' OR 1=1 --", []),
    ],
)
def test_every_word_must_be_found(search, found):
    entries = [entry(3, tags=("paper",)), entry(2, name="The Best"), entry(1, note="of Tuesday")]
    assert numbers(select(entries, Query(search=search))) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"status": "failed"}, [2]),
        ({"kind": "evaluate"}, [1]),
        ({"model": "SMOLLM2-135m"}, [3, 2]),
        ({"model": "Tiny Llama"}, [1]),
        ({"tag": "#Paper"}, [3]),
        ({"status": "finished", "model": "smollm2 135m"}, [3]),
        ({"model": "smol"}, []),
    ],
)
def test_filters_are_whole_and_all_must_fit(asked, found):
    entries = [
        entry(3, tags=("paper",)),
        entry(2, status="failed"),
        entry(1, kind="evaluate", model="tiny-llama", title="Tiny Llama"),
    ]
    assert numbers(select(entries, Query(**asked))) == found


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("newest", [4, 3, 2, 1]),
        ("oldest", [1, 2, 3, 4]),
        ("perplexity", [2, 3, 1, 4]),  # what has none comes last
        ("ratio", [1, 4, 3, 2]),
        ("time", [3, 1, 4, 2]),
        ("name", [1, 3, 4, 2]),
        ("method", [4, 3, 1, 2]),
        ("model", [4, 2, 1, 3]),
    ],
)
def test_orders(sort, order):
    entries = [
        entry(4, ratio=2.0, seconds=3.0),
        entry(3, perplexity=20.0, name="b", seconds=9.0, title="Tiny"),
        entry(2, perplexity=10.0, method="Wanda", name="zz"),
        entry(1, perplexity=30.0, ratio=1.5, name="A", seconds=5.0),
    ]
    found = numbers(select(entries, Query(sort=sort)))
    assert found == order
    last = order[-1]
    pinned = [with_pin(each) if numbers([each]) == [last] else each for each in entries]
    assert numbers(select(pinned, Query(sort=sort))) == [last, *order[:-1]], "pinned ones come first"


def with_pin(one):
    return one._replace(labels=Labels(**one.labels.model_dump() | {"pinned": True}))


def test_every_order_is_tried():
    tried = {mark.args[1][place][0] for mark in test_orders.pytestmark for place in range(len(mark.args[1]))}
    assert tried == set(SORTS)


@pytest.mark.parametrize("wrong", [{"sort": "colour"}, {"status": "asleep"}])
def test_an_unknown_order_or_status_is_one_sentence(wrong):
    with pytest.raises(BadInput, match=r"^There is no (order|status) '\w+'; choose from .*\.$"):
        select([], Query(**wrong))


def test_a_search_of_any_length_is_cut():
    assert len(Query(search="x" * 10**6).search) == query.LONGEST_SEARCH


def test_lists_know_what_the_record_says(store, recipe):
    run = store.create(recipe)
    finish(store, run)
    (one,) = store.entries()
    record = store.get(run)
    assert (one.run.id, one.run.status, one.run.method) == (run, "finished", "Magnitude")
    assert one.run.seconds == record.ended_at - record.started_at
    for word in ("magnitude", "2:4", "wikipedia", "tiny random llama", "tiny-random-llama", "finished", run):
        assert select([one], Query(search=word)), word


def test_the_hash_of_a_brought_text_cannot_be_searched(store):
    job = make_job(
        "prune",
        model={"id": "tiny-random-llama"},
        method="magnitude",
        calibration={"text": "upload/0123456789ab-notes.txt"},
    )
    store.create(job)
    assert select(store.entries(), Query(search="notes.txt"))
    assert not select(store.entries(), Query(search="0123456789ab"))


def test_an_ended_run_is_read_once_and_a_live_one_every_time(store, recipe, monkeypatch):
    live, ended = store.create(recipe), store.create(recipe)
    finish(store, ended)
    first = store.entries()
    read = []
    real = records_module.fold
    monkeypatch.setattr(
        records_module, "fold", lambda record, log: read.append(record.id) or real(record, log)
    )
    again = Store(store.root)
    assert again.entries() == first and read == [live]


def test_what_is_kept_by_another_version_or_torn_is_worked_out_again(store, recipe):
    ended = store.create(recipe)
    finish(store, ended)
    first = store.entries()
    kept = first[0].run
    for text in (
        "",
        "{",
        "[]",
        kept.model_copy(update={"form": 0, "title": "Old"}).model_dump_json(),
        '{"form": 1}',
    ):
        with store.index.write() as rows:
            rows.update(ended, listed=text)
        assert store.entries() == first


def test_an_index_that_cannot_be_written_still_lists(tmp_path, recipe):
    store = Store(tmp_path, patience=0.1)
    ended = store.create(recipe)
    finish(store, ended)
    other = sqlite3.connect(store.root / "runs.db")
    other.execute("BEGIN IMMEDIATE")
    try:
        assert [one.run.id for one in store.entries()] == [ended]
    finally:
        other.close()


def test_a_perplexity_that_is_no_number_is_not_known(store, recipe):
    run = store.create(recipe)
    store.append(run, ev.Started(pid=1))
    one = Listed.model_validate(
        entry().run.model_dump() | {"perplexity": float("inf"), "ratio": float("nan")}
    )
    assert (one.perplexity, one.ratio) == (None, None)
    assert store.labels_of(run) == labels.NONE
