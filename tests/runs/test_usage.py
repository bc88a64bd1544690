"""What visitors may take of a host: every limit by a direct call, each with its own sentence."""

from __future__ import annotations

import gc
import itertools
import threading

import pytest

from apt_core.base.errors import OverQuota
from apt_core.measure.questions import Answered, Step
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.runs import usage as usage_module
from apt_core.runs.owners import HERE, Visitor
from apt_core.runs.quotas import Quotas
from apt_core.runs.usage import Usage

ANN = Visitor(names=("v:ann",), address="192.0.2.1")
BOB = Visitor(names=("v:bob",), address="192.0.2.1")
CID = Visitor(names=("v:cid",), address="192.0.2.9")


def start(usage, visitor, store, recipe, runs=1):
    with usage.starting(visitor, store, runs):
        return [store.create(recipe, owner=visitor.name) for _ in range(runs)]


def test_runs_wait_for_each_and_for_all(store, recipe):
    usage = Usage(Quotas(waiting=4, waiting_each=2))
    start(usage, ANN, store, recipe, 2)
    with pytest.raises(OverQuota, match=r"2 runs of yours wait already, and 2 may .* no more fit"):
        start(usage, ANN, store, recipe)
    start(usage, BOB, store, recipe)
    with pytest.raises(OverQuota, match=r"3 runs wait already, and 4 may .* 1 more fit"):
        start(usage, CID, store, recipe, 2)
    start(usage, HERE, store, recipe)
    with pytest.raises(OverQuota, match="4 runs wait already"):
        start(usage, HERE, store, recipe)
    assert len(store.live()) == 4


def test_runs_an_hour_for_each_and_for_an_address(store, recipe):
    usage = Usage(Quotas(runs_per_hour=2, address_runs_per_hour=3))
    start(usage, ANN, store, recipe)
    with pytest.raises(OverQuota, match=r"You may start 2 runs an hour on this page, and 1 of them are left"):
        start(usage, ANN, store, recipe, 2)
    start(usage, ANN, store, recipe)
    start(usage, BOB, store, recipe)
    with pytest.raises(OverQuota, match=r"From your address 3 runs"):
        start(usage, BOB, store, recipe)
    start(usage, CID, store, recipe, 2)
    assert usage.runs_of("v:ann") == 2 and usage.runs_of("v:cid") == 2


def test_what_is_refused_or_fails_is_not_counted(store, recipe):
    usage = Usage(Quotas(runs_per_hour=2))
    for _ in range(5):
        with pytest.raises(RuntimeError), usage.starting(ANN, store, 1):
            raise RuntimeError
        with pytest.raises(OverQuota):
            start(usage, ANN, store, recipe, 3)
    start(usage, ANN, store, recipe, 2)


def test_many_at_once_are_not_more(store, recipe):
    usage, refused = Usage(Quotas(waiting_each=3)), []

    def press():
        try:
            start(usage, ANN, store, recipe)
        except OverQuota as error:
            refused.append(error)

    threads = [threading.Thread(target=press) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(store.live()) == 3 and len(refused) == 5


def test_the_hour_ends(store, recipe, monkeypatch):
    usage = Usage(Quotas(runs_per_hour=1))
    start(usage, ANN, store, recipe)
    later = usage_module.time.time() + 3601
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: later)
    start(usage, ANN, store, recipe)


def test_disk(store, recipe):
    (run,) = start(Usage(Quotas()), ANN, store, recipe)
    (store.folder(run) / "big").write_bytes(b"\0" * 2_000_000)
    usage = Usage(Quotas(disk_gb=0.001))
    with pytest.raises(OverQuota, match=r"Your runs hold 2[.0-9]* MB of the 0.001 GB .* delete some"):
        start(usage, ANN, store, recipe)
    start(usage, BOB, store, recipe)
    start(usage, HERE, store, recipe)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"bytes_on_disk": 3_000_000_000}, "The weights of Big have 3.00 GB, and 2 GB are the most"),
        ({"download_bytes": 3_000_000_000}, "The weights of Big have 3.00 GB"),
        ({"blocks": 65}, "Big has 65 decoder blocks, and 64 are the most"),
    ],
)
def test_models(facts, sentence):
    usage = Usage(Quotas(model_gb=2, model_blocks=64))
    usage.check_model(ANN, ModelFacts(id="b", title="Small", source="Hub", bytes_on_disk=1000, blocks=64))
    big = ModelFacts(id="b", title="Big", source="Hub", **facts)
    with pytest.raises(OverQuota, match=sentence):
        usage.check_model(ANN, big)
    usage.check_model(HERE, big)
    Usage(Quotas()).check_model(ANN, big)


# ---- questions


class Asking:
    """Replies that were given; knows whether it was stopped and closed."""

    def __init__(self, *replies):
        self._replies = iter(replies)
        self.stopped = self.closed = False

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._replies)

    def stop(self):
        self.stopped = True

    def close(self):
        self.closed = True


def steps(many, dense="a"):
    return [Step(index=index, dense=dense, pruned="b") for index in range(many)]


def last():
    return Answered.model_construct(kind="answered")


def test_questions_wait_for_each_and_for_all():
    usage = Usage(Quotas(questions_each=2, questions=3))
    held = [usage.question(ANN, Asking) for _ in range(2)]
    for _ in range(80):
        with pytest.raises(OverQuota, match="You have 2 questions waiting"):
            usage.question(ANN, Asking)
    held.append(usage.question(BOB, Asking))
    with pytest.raises(OverQuota, match="3 questions wait for an answer, as many as may"):
        usage.question(CID, Asking)
    held.pop(0).close()
    held.append(usage.question(CID, Asking))


@pytest.mark.parametrize("way", ["last word", "exhausted", "closed", "failed", "forgotten", "closed twice"])
def test_a_place_is_given_back_once(way):
    usage = Usage(Quotas(questions_each=1))

    def failing():
        raise RuntimeError

    if way == "failed":
        with pytest.raises(RuntimeError):
            usage.question(ANN, failing)
    else:
        asked = usage.question(ANN, lambda: Asking(*([last()] if way == "last word" else [])))
        if way in ("last word", "exhausted"):
            list(itertools.islice(asked, 1))
        elif way.startswith("closed"):
            asked.close()
            asked.close()
        del asked
        gc.collect()
    again = usage.question(ANN, Asking)
    with pytest.raises(OverQuota):
        usage.question(ANN, Asking)
    again.stop()
    assert again._asking.stopped


def test_tokens_are_counted_as_they_come():
    usage = Usage(Quotas(tokens_per_hour=20))
    list(usage.question(ANN, lambda: Asking(*steps(6), *steps(2, dense=None), last()), tokens=16))
    assert usage.tokens_of("v:ann") == 14, "two for each step of both, one where one has ended"
    with pytest.raises(
        OverQuota, match=r"20 tokens may be generated for you in an hour, and 6 of them are left"
    ):
        usage.question(ANN, Asking, tokens=7)
    usage.question(ANN, Asking, tokens=6).close()
    usage.question(BOB, Asking, tokens=20).close()
    assert usage.question(HERE, lambda: "as it is", tokens=10_000) == "as it is"


def test_looks_are_counted_where_they_begin():
    usage = Usage(Quotas(looks_per_hour=2, questions_each=1))

    def refused():
        raise ValueError

    with pytest.raises(ValueError):
        usage.question(ANN, refused, looks=1)
    first = usage.question(ANN, Asking, looks=1)
    with pytest.raises(OverQuota, match="waiting for an answer"):
        usage.question(ANN, Asking, looks=1)
    first.close()
    usage.question(ANN, Asking, looks=1).close()
    with pytest.raises(OverQuota, match=r"you have 2 an hour on this page, and 0 of them are left"):
        usage.question(ANN, Asking, looks=1)
    usage.question(ANN, Asking, tokens=100).close()
    usage.question(BOB, Asking, looks=1).close()


def test_whoever_never_comes_back_holds_no_memory():
    usage = Usage(Quotas(questions_each=1))
    for number in range(1000):
        usage.question(Visitor(names=(f"v:{number}",)), Asking).close()
    assert len(usage._asking) == 0


@pytest.mark.alone
def test_a_question_collected_as_garbage_in_the_middle_of_a_count_locks_nobody():
    usage = Usage(Quotas(questions_each=5))
    usage.question(ANN, Asking)  # never read, and collected by whichever thread happens to

    def collect():
        with usage._lock:
            gc.collect()

    circle = [usage.question(ANN, Asking)]
    circle.append(circle)
    del circle
    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and usage._asking[ANN.name] == 0


def test_the_door_counts_files_and_new_visitors():
    usage = Usage(Quotas(uploads_per_hour=2, visitors_per_hour=3))
    assert [usage.takes_upload("a") for _ in range(3)] == [True, True, False] and usage.takes_upload("b")
    assert [usage.takes_visitor("a") for _ in range(4)] == [True, True, True, False]
    free = Usage(Quotas())
    assert all(free.takes_upload("a") and free.takes_visitor("a") for _ in range(1000))
