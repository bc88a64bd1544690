"""A run whose model another run made: stored, protected from deletion, and honest about a parent that is gone."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import pytest

from apt_core import events as ev
from apt_core.base.errors import BadInput, UnknownRun
from apt_core.base.policy import PRIVATE
from apt_core.events.records import RunRecord, summary
from apt_core.jobs import make_job
from apt_core.measure.questions import Sides
from apt_core.runs import read_before, token_holder, worker
from apt_core.runs.reading import Reader
from apt_core.runs.store import Store
from tests.runs.test_store import finish


def child_of(run_id):
    return make_job("prune", model={"id": f"run:{run_id}"}, method="magnitude")


@pytest.fixture
def parent(store, recipe):
    run_id = store.create(recipe)
    finish(store, run_id)
    return run_id


@pytest.fixture
def child(store, parent):
    run_id = store.create(child_of(parent))
    finish(store, run_id)
    return run_id


def test_a_run_remembers_what_it_was_made_from(store, parent, child):
    assert store.get(child).made_from == parent and store.get(parent).made_from is None
    assert not store.get(child).orphaned
    (store.root / "runs.db").unlink()
    again = Store(store.root)
    with pytest.raises(BadInput, match=child):
        again.delete(parent)


def test_the_whole_line_is_told_the_nearest_first(store, parent, child):
    grandchild = store.create(child_of(child))
    assert store.get(grandchild).lineage == (child, parent)
    assert summary(store.get(grandchild))["lineage"] == [child, parent]
    assert summary(store.get(parent))["lineage"] == []
    store.request_cancel(grandchild)
    store.delete(child, orphan=True)
    assert store.get(grandchild).lineage == (child,), "it ends at the run that is gone"


def test_a_list_of_runs_asks_the_index_once_however_many_were_made_from_others(store, child, monkeypatch):
    """Each of them opened the index once more, at every look of every tab, and inside transactions too."""
    asked = [store.create(child_of(child)) for _ in range(5)]
    lines = {record.id: record.lineage for record in store.list()}
    assert {len(lines[run_id]) for run_id in asked} == {2}
    rows = [store._records.row(run_id) for run_id in asked]
    monkeypatch.setattr(store.index, "read", lambda: pytest.fail("the index was asked"))
    assert [record.lineage for record in store._records.readable(rows)] == [lines[run_id] for run_id in asked]


def test_an_allocation_is_told_by_its_name_and_by_layer(store, parent):
    record = store.get(parent)
    assert summary(record)["allocation"]["name"] == record.job.method.allocation.name
    given = record.model_copy(update={"allocated": ev.Allocated(shares={"0:q_proj": 0.25})})
    assert summary(given)["allocation"]["layers"] == {"0:q_proj": 0.25} == summary(given)["allocated"]
    measured = RunRecord(id=parent, job=make_job("evaluate", model={"id": "tiny-llama"}))
    assert summary(measured)["allocation"] is None


def test_what_a_run_made_is_found_again(store, parent, child):
    assert [run.id for run in store.made_from(parent)] == [child] and store.made_from(child) == []


def test_deletion_names_what_hangs_on_it(store, parent, child):
    with pytest.raises(
        BadInput, match=f"{parent} is what run {child} was made from.*that run first.*--force"
    ):
        store.delete(parent)
    second = store.create(child_of(parent))
    finish(store, second)
    with pytest.raises(BadInput, match=f"runs {child} and {second} were made from; delete those runs first"):
        store.delete(parent)
    store.delete(child)
    store.delete(second)
    store.delete(parent)
    assert store.list() == []


def test_a_child_says_that_its_parent_is_gone(store, parent, child):
    store.delete(parent, orphan=True)
    record = store.get(child)
    assert record.orphaned and record.made_from == parent


def test_a_waiting_child_keeps_its_parent_even_from_force(store, parent):
    waiting = store.create(child_of(parent))
    with pytest.raises(BadInput, match=f"Run {waiting} still needs the weights of run {parent}"):
        store.delete(parent, orphan=True)


def test_the_cap_spares_weights_that_a_waiting_run_needs(store, recipe):
    old, new = store.create(recipe), store.create(recipe)
    for run_id in (old, new):
        finish(store, run_id, size=1000)
    waiting = store.create(child_of(old))
    assert store.keep_within(1) == [] and store.checkpoint(old)
    store.request_cancel(waiting)
    assert store.keep_within(1) == [old]


def test_what_made_no_model_cannot_be_opened(store, recipe):
    live = store.create(recipe)
    with pytest.raises(BadInput, match="has not finished yet"):
        store.create(child_of(live))
    store.request_cancel(live)
    with pytest.raises(BadInput, match="no pruned weights"):
        store.create(child_of(live))
    for nobody in ("20200101-000000-0000", "../../etc"):
        with pytest.raises(UnknownRun):
            store.create(child_of(nobody))
    assert len(store.list()) == 1 and len(list(store.runs.iterdir())) == 1


def test_what_is_made_of_a_members_model_is_for_members_too(store, parent):
    token_holder.mark(store.folder(parent))
    child = store.create(child_of(parent))
    finish(store, child)
    grandchild = store.create(child_of(child))
    assert store.came_with_token(child) and store.came_with_token(grandchild)
    store.delete(parent, orphan=True)
    assert store.came_with_token(child)
    assert token_holder.of(store.folder(child)) is None, "anybody's launcher can start it"


def test_a_question_goes_to_the_parent_and_the_child(store, parent, child):
    sides = Reader(store)._sides_of([child])
    assert sides == Sides(dense=store.checkpoint(parent), pruned=(store.checkpoint(child),))


def test_a_text_that_the_lineage_was_calibrated_on_is_said_where_it_is_measured(store, tmp_path, monkeypatch):
    text = tmp_path / "mine.txt"
    text.write_text("words")
    first = store.create(
        make_job("prune", model={"id": "tiny-random-llama"}, method="wanda", calibration={"text": str(text)})
    )
    finish(store, first)
    second = store.create(child_of(first))
    finish(store, second)
    measured = [{"text": f"{tmp_path}/./mine.txt"}, {"text": "wiki-sample"}]
    asked = store.create(make_job("evaluate", model={"id": f"run:{second}"}, evaluation=measured))
    said = [warned.message for warned in read_before.warnings_of(store, asked)]
    assert len(said) == 1 and said[0].startswith(f"Run {first}, which made this model, has read mine.txt")
    assert [event.kind for event in worker.beginning(store, asked)] == ["started", "warned"]
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "get", lambda *asked: pytest.fail("the index was asked before it began"))
        assert next(worker.beginning(store, asked)).kind == "started"
    other = store.create(make_job("evaluate", model={"id": f"run:{second}"}, evaluation=measured[1:]))
    assert read_before.warnings_of(store, other) == []
    store.delete(first, orphan=True)
    assert read_before.warnings_of(store, asked) == []


@pytest.mark.parametrize("begins_again", ["on another node", "in another call"])
def test_what_the_lineage_has_read_is_said_again_where_a_run_begins_again(store, tmp_path, begins_again):
    """A reader of the log forgets all warnings then, and this one was said before the first beginning alone."""
    text = tmp_path / "mine.txt"
    text.write_text("words")
    calibration = {"text": str(text)}
    first = store.create(
        make_job("prune", model={"id": "tiny-random-llama"}, method="wanda", calibration=calibration)
    )
    finish(store, first)
    asked = store.create(make_job("evaluate", model={"id": f"run:{first}"}, evaluation=[calibration]))
    again = ev.Restarted(message="It begins again.")

    def do(job, context):
        yield ev.Progress(stage="load", done=0, total=1)
        if begins_again == "on another node":
            yield again
        yield ev.Finished(seconds={"total": 1.0}, peak_rss_bytes=1)

    list(map(partial(store.append, asked), worker.beginning(store, asked)))
    begin = [again] if begins_again == "in another call" else []
    stop = SimpleNamespace(check=lambda: None, interrupts=nullcontext)
    store.append(asked, worker.work(store, asked, do, stop, PRIVATE, begin))
    said = [warned.message for warned in store.get(asked).warnings]
    assert said[0] == again.message and len(said) == 2
    assert said[1].startswith(f"Run {first}, which made this model, has read mine.txt")
