"""The log survives what disks and processes do to files."""

from __future__ import annotations

import multiprocessing

import pytest

from apt_core import events as ev
from apt_core.events.records import RunRecord, fold
from apt_core.runs.eventlog import EventLog
from tests.runs.fake_worker import finished, layer


@pytest.fixture
def log(tmp_path):
    return EventLog(tmp_path)


def numbers(log):
    return [stamped.seq for stamped in log.read()]


def test_events_are_numbered_and_come_back(log):
    for event in (ev.Queued(), ev.Started(pid=1), layer(0), finished()):
        log.append(event)
    assert numbers(log) == [0, 1, 2, 3]
    assert [stamped.event.kind for stamped in log.read(after=1)] == ["layer_pruned", "finished"]


def test_a_torn_tail_is_skipped_and_ended_by_the_next_writer(log):
    log.append(ev.Queued())
    log.append(layer(0))
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20])
    assert numbers(log) == [0]
    log.append(layer(1))
    assert numbers(log) == [0, 1]
    assert log.read()[-1].event.layer == "layer_1"
    assert log.path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\0" * 300,
        b"hello\n",
        b'{"seq":99}\n',
        b'{"seq":5,"at":1,"event":{"kind":"layer_pruned"}}\n',
        b"\xff\xfe\n\n",
    ],
)
def test_rubbish_in_the_middle_is_skipped(log, rubbish):
    log.append(ev.Queued())
    with open(log.path, "ab") as file:
        file.write(rubbish)
    log.append(layer(0))
    assert [stamped.event.kind for stamped in log.read()] == ["queued", "layer_pruned"]
    assert numbers(log) == [0, 1]


def test_numbers_continue_behind_a_long_foreign_tail(log):
    for number in range(3):
        log.append(layer(number))
    with open(log.path, "ab") as file:
        file.write(b"x" * 200_000)
    assert log.append(layer(3)).seq == 3


def test_reading_from_where_one_stopped_never_takes_half_a_line(log):
    log.append(ev.Queued())
    log.append(layer(0))
    data = log.path.read_bytes()
    log.path.write_bytes(b"")
    record, covered = RunRecord.model_construct(id="x", layers=(), warnings=(), last_seq=-1, progress=None), 0
    for cut in range(0, len(data) + 1, 7):
        log.path.write_bytes(data[:cut])
        found, covered = log.read_from(covered)
        record = fold(record, found)
    log.path.write_bytes(data)
    record = fold(record, log.read_from(covered)[0])
    assert record.last_seq == 1
    assert len(record.layers) == 1


def _write_many(folder):
    log = EventLog(folder)
    for number in range(50):
        log.append(layer(number))


def test_two_writers_never_share_a_number_or_a_line(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(tmp_path,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert numbers(EventLog(tmp_path)) == list(range(150))


def test_the_last_event_gives_the_reserve_back(log):
    log.set_reserve()
    assert log.reserve.stat().st_size == 64 * 1024
    log.append(layer(0))
    assert log.reserve.exists()
    assert log.ending() is None
    log.append(ev.Failed(reason="disk_full", message="Full.", detail="x" * 8000))
    assert not log.reserve.exists()
    assert log.ending().event.reason == "disk_full"


def test_an_ending_is_found_behind_later_rubbish(log):
    log.append(finished())
    with open(log.path, "ab") as file:
        file.write(b"torn")
    assert isinstance(log.ending().event, ev.Finished)


def test_an_event_of_a_later_version_keeps_its_place_and_its_words(log):
    log.append(ev.Queued())
    later = (
        b'{"seq":1,"version":9,"at":2.5,"mood":"new","event":{"kind":"heated","degrees":40}}\n'
        b'{"seq":2,"version":9,"at":3.5,"event":{"kind":"warned","message":"Hot.","layer":"","colour":"red"}}\n'
        b'{"seq":3,"version":9,"at":4.5,"event":{"kind":"measured","subject":["dense","pruned"]}}\n'
    )
    with open(log.path, "ab") as file:
        file.write(later)
    log.append(ev.Warned(message="Cold."))
    read = log.read()
    assert [line.seq for line in read] == [0, 1, 2, 3, 4]
    heated, warned, measured = (line.event for line in read[1:4])
    assert isinstance(heated, ev.Unknown) and heated.model_dump() == {"kind": "heated", "degrees": 40}
    assert warned == ev.Warned(message="Hot.")
    assert isinstance(measured, ev.Unknown), "a form that this version cannot read"
    assert later in log.path.read_bytes(), "nothing is rewritten"


def test_lines_of_version_1_are_read_in_todays_words():
    old = (
        '{"seq":3,"at":1.0,"event":{"kind":"evaluated","side":"dense","perplexity":5.5,"windows":4,"length":256,'
        '"tokens":1020,"text":"wiki-sample","protocol":"joined-v1","seconds":0.05,"reused":true}}'
    )
    event = ev.parse_line(old).event
    assert (event.subject, event.perplexity, event.low, event.losses) == ("dense", 5.5, None, ())
    for stage, subject in (("dense_eval", "dense"), ("pruned_eval", "pruned"), ("prune", None)):
        line = f'{{"seq":1,"at":1.0,"event":{{"kind":"progress","stage":"{stage}","done":0,"total":4}}}}'
        event = ev.parse_line(line).event
        assert (event.stage, event.subject) == ("prune" if subject is None else "evaluate", subject)
