"""The queue serves visitors in turn, and the place that it says is the one that comes true."""

from __future__ import annotations

import random

import pytest

from apt_core.base.policy import LOCAL
from apt_core.runs.store import Store


def order(store):
    """The owners of what waits, in the order in which it will begin."""
    return [run.owner.removeprefix("v:") for run in store.live() if run.status == "queued"]


def queue(store, recipe, owners):
    return [store.create(recipe, owner=f"v:{owner}") for owner in owners]


def begin(store):
    """What the launcher does with the first in the line, without a process; it ends at once."""
    with store.index.write() as rows:
        first = rows.queue()[0]
        rows.update(first.id, status="finished", pid=1, ended_at=1.0)
    return first


def test_one_press_repeated_does_not_bar_the_way(store, recipe):
    queue(store, recipe, "aaaaa" + "b")
    assert order(store) == ["a", "b", "a", "a", "a", "a"]
    begin(store)
    queue(store, recipe, "c")
    assert order(store) == ["b", "a", "c", "a", "a", "a"], "whoever comes later joins the round that is next"


def test_a_flood_goes_on_and_nobody_starves(store, recipe):
    queue(store, recipe, "aaa" + "b")
    for _ in range(2):
        begin(store)
        queue(store, recipe, "aa")
    assert begin(store).owner in ("v:a", "v:b") and "b" not in order(store)


def test_alone_it_is_first_come_first_served(store, recipe):
    runs = [store.create(recipe) for _ in range(4)]
    begin(store)
    runs += [store.create(recipe) for _ in range(2)]
    assert [run.id for run in store.live()] == runs[1:] and store.owner_of(runs[0]) == LOCAL


def test_the_place_is_the_true_one(store, recipe):
    runs = queue(store, recipe, "aaab")
    places = {run: store.position(run) for run in runs}
    begun = [begin(store).id for _ in runs]
    assert [places[run] for run in begun] == [1, 2, 3, 4] and begun[1] == runs[3]


@pytest.mark.parametrize("seed", range(5))
def test_nobody_waits_for_more_than_one_run_of_each_other_visitor(store, recipe, seed):
    """Whatever comes in whatever order: between two runs of one visitor every other who waits has at most two."""
    chance = random.Random(seed)
    owners, served = "abcd", []
    for _ in range(30):
        if chance.random() < 0.6 or not order(store):
            queue(store, recipe, chance.choice("aaab" + owners))
        else:
            waiting = set(order(store))
            served.append((begin(store).owner.removeprefix("v:"), waiting))
    for who in owners:
        since: dict[str, int] = {}
        for owner, waiting in served:
            if who not in waiting or owner == who:
                since = {}
                continue
            since[owner] = since.get(owner, 0) + 1
            assert since[owner] <= 2, (who, served)


def test_turns_outlive_a_restart_and_come_back_fair_with_a_new_index(store, recipe):
    queue(store, recipe, "aaabb")
    said = order(store)
    assert order(Store(store.root)) == said == ["a", "b", "a", "b", "a"]
    (store.root / "runs.db").unlink()
    assert order(Store(store.root)) == said


def test_a_study_is_many_runs_of_one_visitor(store, recipe):
    store.create_study("sweep", [recipe] * 3, owner="v:a")
    queue(store, recipe, "b")
    assert order(store) == ["a", "b", "a", "a"]


def test_who_gave_up_their_place_does_not_jump_the_line(store, recipe):
    mine = queue(store, recipe, "a" + "bb")
    store.request_cancel(mine[0])
    queue(store, recipe, "a")
    assert order(store) == ["b", "a", "b"]
