"""A run that begins again: what was said before does not count, and the reader is told."""

from __future__ import annotations

from apt_core import events as ev
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import make_job
from tests.runs.fake_worker import finished, layer


def record_of(*said: ev.Event) -> RunRecord:
    empty = RunRecord(id="x", job=make_job("prune", model={"id": "tiny-llama"}, method="magnitude"))
    return fold(
        empty, [ev.Stamped(seq=number, at=float(number), event=one) for number, one in enumerate(said)]
    )


def test_what_came_before_does_not_count():
    lost = ev.Restarted(message="The node was lost; it began again on another.")
    again = record_of(ev.Started(pid=1), layer(0), layer(1), lost, layer(0), finished())
    assert again.layers == (layer(0),)
    assert [warning.message for warning in again.warnings] == [lost.message]
    assert again.status == "finished" and again.started_at == 0.0


def test_what_a_smaller_model_had_become_does_not_count():
    """A share and parameters of before would stand in every table until the new ones come."""
    shrunk = ev.Shrunk(blocks=4, kept=(0, 1, 2), dense_parameters=100, parameters=80, share=0.25)
    again = record_of(ev.Started(pid=1), shrunk, ev.Restarted(message="The node was lost."))
    assert again.shrunk is None and again.sparsity is None
    assert again.parameters == {"dense": None, "pruned": None}


def test_read_in_pieces_it_is_the_same():
    said = [layer(0), ev.Progress(stage="prune", done=1, total=2), ev.Restarted(message="Lost."), layer(3)]
    stamped = [ev.Stamped(seq=number, at=float(number), event=one) for number, one in enumerate(said)]
    record = whole = record_of()
    for one in stamped:
        record = fold(record, [one])
    assert record == fold(whole, stamped)
    assert record.progress is None and record.stage_started_at is None
