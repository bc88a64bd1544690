"""Asking a reader process: its replies, stops, deaths and second askers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import islice

import psutil
import pytest

from apt_core import events as ev
from apt_core.base.model_bounds import UNBOUNDED, ModelBounds
from apt_core.base.policy import PRIVATE
from apt_core.jobs import ModelRef, make_job
from apt_core.measure.questions import Answered, Ask, Question, ReaderReady, Sides, Step
from apt_core.runs import reader as reader_module
from apt_core.runs import reader_words
from apt_core.runs.loaded import LoadedModels
from apt_core.runs.quotas import Quotas
from apt_core.runs.reading import Reader
from apt_core.runs.starting import REPOSITORY
from tests.runs.fake_worker import finished, save
from tests.runs.helpers import until

SHORT = Question(prompt="one two three", max_tokens=4)
LONG = Question(prompt="word", max_tokens=1000)


@pytest.fixture
def reader_for(store, tmp_path, monkeypatch):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    readers = []

    def make(behaviour="plain", **settings):
        command = (sys.executable, "-m", "tests.runs.fake_reader", behaviour)
        readers.append(Reader(store, command, **settings))
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def run_id(store, recipe):
    run_id = store.create(recipe)
    store.append(run_id, finished(save(store.folder(run_id))))
    return run_id


def reader_pid(reader):
    return reader._process._popen.pid


def test_a_question_is_answered_step_by_step(reader_for, run_id):
    ready, *steps, answered = reader_for().ask(run_id, SHORT)
    assert isinstance(ready, ReaderReady)
    assert ready.seconds > 0
    assert [(step.index, step.dense, step.pruned) for step in steps] == [
        (0, "one ", "one "),
        (1, "two ", "two "),
        (2, "three ", "THREE "),
        (3, "one ", "ONE "),
    ]
    assert answered.dense == "one two three one "
    assert not answered.stopped


@pytest.fixture
def another(store, recipe):
    """A function that makes another finished run, of the same job unless another is given."""

    def make(job=recipe):
        run_id = store.create(job)
        store.append(run_id, finished(save(store.folder(run_id))))
        return run_id

    return make


def test_the_models_stay_loaded_also_when_another_run_is_asked(reader_for, run_id, another):
    reader = reader_for()
    first, second = (list(reader.ask(run_id, SHORT)) for _ in range(2))
    assert first[-1].pruned == second[-1].pruned, "the same process"
    assert second[0] == ReaderReady(seconds=0)
    of_other = list(reader.ask(another(), SHORT))
    assert of_other[-1].pruned == first[-1].pruned and of_other[0].seconds > 0
    assert next(iter(reader.ask(run_id, SHORT))) == ReaderReady(seconds=0), "still there"


def test_runs_of_one_model_are_asked_together(reader_for, run_id, another):
    _ready, *steps, answered = reader_for().ask(run_id, SHORT, [another(), another()])
    assert steps[3].texts == ("one ", "ONE ", "One ", "one ")
    assert [side.first_divergence for side in answered.sides] == [None, 2, 3, 4]


def test_runs_that_cannot_be_asked_together_are_refused_in_words(reader_for, run_id, another, store):
    reader, live = (
        reader_for(),
        store.create(make_job("prune", model={"id": "tiny-llama"}, method="magnitude")),
    )

    def sentence(*others):
        (reply,) = reader.ask(run_id, SHORT, others)
        assert reply.reason in ("bad_input", "unknown_run")
        return reply.message

    elsewhere = another(make_job("prune", model={"id": "tiny-llama"}, method="magnitude"))
    assert "pruned another model" in sentence(elsewhere)
    assert "named twice" in sentence(run_id)
    assert "At most 3 runs" in sentence(*(another() for _ in range(3)))
    assert "has not finished" in sentence(live)
    assert "There is no run" in sentence("../../etc")


def test_the_dense_answer_is_scored_by_every_model(reader_for, run_id, another):
    reader, other = reader_for(), another()
    answered = list(reader.ask(run_id, SHORT, [other]))[-1]
    ready, *scoring, scored = reader.score(run_id, SHORT, answered.dense_ids, [other])
    assert ready == ReaderReady(seconds=0) and [reply.total for reply in scoring] == [4] * 4
    assert [token.text for token in scored.tokens] == ["0 ", "1 ", "2 ", "3 "]
    assert scored.tokens[0].pruned == (0.4, 0.2) and scored.mean_kl(1) == 0.5
    assert scored.tokens[0].gap(0) == pytest.approx(0.4)


def test_scoring_can_be_stopped_and_leaves_the_process_usable(reader_for, run_id):
    reader = reader_for()
    asking = reader.score(run_id, SHORT, range(500))
    list(islice(asking, 4))
    asking.stop()
    last = list(asking)[-1]
    assert isinstance(last, ev.Failed) and last.reason == "stopped"
    assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)


def test_a_stopped_answer_knows_its_tokens(reader_for, run_id):
    asking = reader_for().ask(run_id, LONG)
    list(islice(asking, 5))
    asking.stop()
    answered = list(asking)[-1]
    assert answered.dense_ids == tuple(range(answered.dense_tokens)) and answered.dense_tokens >= 4


def test_a_stopped_answer_of_three_models_has_all_of_them(reader_for, run_id, another):
    reader, replies = reader_for(), []
    asking = reader.ask(run_id, LONG, [another()])
    for reply in asking:
        replies.append(reply)
        if len(replies) == 7:
            asking.stop()
    dense, pruned, other = replies[-1].sides
    assert replies[-1].stopped and dense.tokens == pruned.tokens == other.tokens >= 6
    assert (pruned.first_divergence, other.first_divergence) == (2, 3)
    assert other.text.startswith("word word word Word ")


def test_stop_ends_an_answer_early_with_what_there_is(reader_for, run_id):
    reader = reader_for()
    replies = []
    for reply in reader.ask(run_id, LONG):
        replies.append(reply)
        if len(replies) == 5:
            reader.stop()
    answered = replies[-1]
    assert answered.stopped
    assert 4 <= answered.dense_tokens < 200
    assert answered.dense == "word " * answered.dense_tokens
    assert answered.first_divergence == 2
    assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)


def test_a_late_stop_does_not_cut_the_next_answer(reader_for, run_id):
    reader = reader_for()
    first = reader.ask(run_id, SHORT)
    list(islice(first, 2))  # the rest waits for a slow listener, and lets the next asker in
    second = reader.ask(run_id, LONG)
    list(islice(second, 4))
    first.stop()
    seen = list(islice(second, 60))
    assert all(isinstance(reply, Step) for reply in seen), "still talking"
    assert not list(first)[-1].stopped
    second.stop()
    assert list(second)[-1].stopped


@pytest.mark.alone
def test_an_asker_who_leaves_stops_the_answer_and_the_next_is_served(reader_for, run_id):
    reader = reader_for()
    replies = reader.ask(run_id, LONG)
    list(islice(replies, 4))
    pid = reader_pid(reader)
    replies.close()
    begun = time.monotonic()
    *_, answered = reader.ask(run_id, SHORT)
    assert answered.dense == "one two three one "
    assert not answered.stopped
    assert time.monotonic() - begun < 2
    assert reader_pid(reader) == pid


def test_an_asker_who_leaves_while_the_models_load(reader_for, run_id):
    reader = reader_for("slow_load")
    replies = reader.ask(run_id, LONG)
    starter = threading.Thread(target=lambda: next(replies))
    starter.start()
    starter.join()
    replies.close()
    assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)


def test_a_second_asker_waits_for_the_first(reader_for, run_id):
    reader = reader_for()
    ends = []
    askers = [
        threading.Thread(target=lambda: ends.append(list(reader.ask(run_id, SHORT))[-1])) for _ in range(4)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(timeout=20)
    assert [type(end) for end in ends] == [Answered] * 4
    assert len({end.pruned for end in ends}) == 1, "one process served them all"


def test_a_second_asker_is_not_kept_for_ever(reader_for, run_id):
    reader = reader_for(patience=0.2)
    first = reader.ask(run_id, LONG)
    list(islice(first, 3))
    (reply,) = reader.ask(run_id, SHORT)
    assert reply.reason == "busy"
    assert "try again" in reply.message
    first.close()


def asked_beside(asking, replies):
    """A thread that asks, once the question stands in the line."""
    thread = threading.Thread(target=lambda: replies.append(list(asking)[-1]))
    thread.start()
    until(lambda: asking.before > 0)
    return thread


def test_askers_are_served_in_turn_and_know_how_many_come_before(reader_for, run_id):
    """One visitor who asked again at once had the reader for as long as they liked."""
    reader, ends = reader_for(), []
    first = reader.ask(run_id, LONG, asker="ann")
    list(islice(first, 3))
    waiting = [reader.ask(run_id, SHORT, asker=asker) for asker in ("ann", "ann", "bob")]
    threads = [asked_beside(asking, ends) for asking in waiting]
    assert [asking.before for asking in waiting] == [2, 3, 1], "bob has not been served yet"
    first.close()
    for thread in threads:
        thread.join(30)
    assert [type(end) for end in ends] == [Answered] * 3
    assert [asking.before for asking in waiting] == [0, 0, 0]


def test_who_leaves_the_line_is_told_at_once_and_bars_nobody(reader_for, run_id):
    reader, ends = reader_for(), []
    first = reader.ask(run_id, LONG, asker="ann")
    list(islice(first, 3))
    leaving, staying = (reader.ask(run_id, SHORT, asker=asker) for asker in ("bob", "cyd"))
    threads = [asked_beside(asking, ends) for asking in (leaving, staying)]
    assert staying.before == 2
    leaving.stop()
    threads[0].join(10)
    assert [end.reason for end in ends] == ["stopped"] and staying.before == 1
    first.close()
    threads[1].join(30)
    assert isinstance(ends[1], Answered)


def test_a_process_killed_in_the_middle_of_an_answer_is_told(reader_for, run_id):
    reader = reader_for("mortal")
    *replies, last = reader.ask(run_id, LONG)
    assert isinstance(last, ev.Failed)
    assert last.reason == "worker_died"
    assert "signal 9" in last.message
    assert len([reply for reply in replies if isinstance(reply, Step)]) == 2
    assert isinstance(next(iter(reader.ask(run_id, LONG))), ReaderReady), "a new process is started"


def test_a_process_killed_between_two_questions_is_replaced(reader_for, run_id):
    reader = reader_for()
    list(reader.ask(run_id, SHORT))
    os.kill(reader_pid(reader), signal.SIGKILL)
    until(lambda: not reader._process.alive)
    assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)


def test_a_process_that_hangs_is_given_up(reader_for, run_id):
    reader = reader_for("hanging", silence=3.0)
    *_, last = reader.ask(run_id, LONG)
    assert isinstance(last, ev.Failed)
    assert not psutil.pid_exists(reader_pid(reader))


def test_a_hanging_answer_that_nobody_hears_does_not_bar_the_way(reader_for, run_id):
    reader = reader_for("hanging", patience=0.2)
    replies = reader.ask(run_id, LONG)
    list(islice(replies, 3))
    replies.close()
    reader._silence = 0.5  # only now: to load may take longer
    time.sleep(0.6)
    first = next(iter(reader.ask(run_id, SHORT)))
    if isinstance(first, ReaderReady):  # a loaded machine: the answer was stopped before it could hang
        return
    assert first.reason == "busy"
    reader._silence = 60
    until(lambda: isinstance(next(iter(reader.ask(run_id, SHORT))), ReaderReady))


@pytest.mark.alone
@pytest.mark.parametrize("leaves", [True, False])
def test_a_step_that_does_not_end_bars_nobody_after_a_stop(reader_for, run_id, tmp_path, monkeypatch, leaves):
    """It hangs before the first word. Whoever asked goes away, or stops it and waits for its last word."""
    monkeypatch.setenv("STUCK", str(tmp_path / "stuck"))
    reader = reader_for("stuck_load", grace=0.5, patience=30.0)
    asking, last = reader.ask(run_id, SHORT), []
    asker = threading.Thread(target=lambda: last.extend(asking))
    asker.start()
    until((tmp_path / "stuck").exists)
    pid, begun = reader_pid(reader), time.monotonic()
    asking.stop()
    if not leaves:
        asker.join(20)
        assert last[-1].reason == "stopped" and "loads them again" in last[-1].message
    *_, answered = reader.ask(run_id, SHORT)
    assert answered.dense == "one two three one " and reader_pid(reader) != pid
    assert time.monotonic() - begun < 20 and not psutil.pid_exists(pid)
    asker.join(20)


def test_an_asker_who_leaves_a_hanging_answer_ends_its_process(reader_for, run_id):
    reader = reader_for("hanging", grace=0.3)
    replies = reader.ask(run_id, LONG)
    list(islice(replies, 3))
    pid = reader_pid(reader)
    time.sleep(0.2)  # it hangs by now
    replies.close()
    until(lambda: not psutil.pid_exists(pid))
    assert isinstance(next(iter(reader.ask(run_id, SHORT))), ReaderReady)


def test_a_question_that_is_stopped_before_its_turn_is_never_begun(reader_for, run_id):
    reader = reader_for(patience=30.0)
    first = reader.ask(run_id, LONG)
    list(islice(first, 3))
    second, replies = reader.ask(run_id, LONG), []
    asker = threading.Thread(target=lambda: replies.extend(second))
    asker.start()
    second.stop()
    first.close()
    asker.join(20)
    assert [reply.reason for reply in replies] == ["stopped"]
    assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)


def test_a_model_that_has_to_be_fetched_again_says_how_far_it_is(reader_for, run_id):
    """It is no silence, and can be stopped."""
    reader = reader_for("fetching", silence=5.0)
    asking = reader.ask(run_id, SHORT)
    some = list(islice(asking, 5))
    assert [reply.done for reply in some] == [0, 1, 2, 3, 4] and some[0].total == 1000
    pid = reader_pid(reader)
    asking.stop()
    *_, last = asking
    assert last.reason == "stopped" and reader_pid(reader) == pid and psutil.pid_exists(pid)


def test_what_made_room_for_others_is_fetched_again(tmp_path, monkeypatch):
    """The folder of the dense model was there when it was asked first."""
    asked = []

    def resolve(ref, progress, policy, bounds):
        asked.append(bounds)
        progress("download", 1, 2, "owner/name")
        (tmp_path / "dense").mkdir()
        return tmp_path / "dense"

    monkeypatch.setattr(reader_module, "resolve", resolve)
    models = reader_module.Models.__new__(reader_module.Models)
    models._folders, models._policy = {}, PRIVATE
    models._loaded = LoadedModels(load=lambda _: None, bytes_of=lambda _: 1, free=lambda: 100)
    bounds = ModelBounds(n_bytes=10**9, blocks=64)
    sides = Sides(dense=ModelRef(id="owner/name"), pruned=(tmp_path,), bounds=bounds)
    for _ in range(2):
        said = list(models._folders_of(sides))
        assert said and said[0] == ev.Progress(stage="download", done=1, total=2, detail="owner/name")
        assert list(models._folders_of(sides)) == [], "it is here"
        (tmp_path / "dense").rmdir()
    assert asked == [bounds] * 2, "no larger than the run may have had it"


def test_a_model_may_be_as_large_as_that_of_its_run(reader_for, store, recipe, run_id):
    reader = reader_for(quotas=Quotas(model_gb=2, model_blocks=64))
    anns = store.create(recipe, owner="v:ann")
    store.append(anns, finished(save(store.folder(anns))))
    assert reader._sides_of([anns]).bounds == ModelBounds(n_bytes=2 * 10**9, blocks=64)
    assert reader._sides_of([run_id]).bounds == UNBOUNDED, "whoever is at the machine may fetch any"
    assert reader_for()._sides_of([anns]).bounds == UNBOUNDED


def test_a_process_that_takes_too_much_memory_is_ended_with_a_sentence(reader_for, run_id):
    reader = reader_for("greedy", memory_bytes=250_000_000)
    *_, last = reader.ask(run_id, SHORT)
    assert last.reason == "out_of_memory" and "250 MB is the most that it may hold here" in last.message
    assert not psutil.pid_exists(reader_pid(reader))
    reader._memory_bytes = None
    reader._command = (*reader._command[:-1], "plain")
    assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)


def test_models_that_cannot_be_loaded_are_one_sentence(reader_for, run_id):
    reader = reader_for("unloadable")
    for _ in range(2):
        (reply,) = reader.ask(run_id, SHORT)
        assert (reply.reason, reply.message) == ("not_reachable", "The Hub does not answer; try again later.")


def test_a_question_that_cannot_be_answered_leaves_the_process_usable(reader_for, run_id):
    reader = reader_for()
    ready, failed = reader.ask(run_id, Question(prompt="refuse"))
    assert isinstance(ready, ReaderReady)
    assert failed.reason == "bad_input"
    assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)


def test_the_process_goes_when_nobody_asks(reader_for, run_id):
    reader = reader_for(idle=0.3)
    list(reader.ask(run_id, SHORT))
    process = reader._process
    until(lambda: not process.alive)
    assert process._popen.returncode == 0
    assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)


def test_close_gives_the_memory_back(reader_for, run_id):
    reader = reader_for()
    replies = reader.ask(run_id, LONG)
    list(islice(replies, 3))
    pid = reader_pid(reader)
    reader.close()
    assert isinstance(list(replies)[-1], ev.Failed)
    assert not psutil.pid_exists(pid)


def test_runs_without_weights_are_refused_in_words(reader_for, store, recipe, run_id):
    reader = reader_for()

    def sentence(run):
        (reply,) = reader.ask(run, SHORT)
        return reply.message

    assert "There is no run" in sentence("../../etc")
    waiting = store.create(recipe)
    assert "has not finished yet" in sentence(waiting)
    store.request_cancel(waiting)
    assert "did not finish" in sentence(waiting)
    store.keep_within(0)
    (store.folder(run_id) / "checkpoint" / "model.safetensors").unlink()
    assert "have been removed" in sentence(run_id)


def test_a_program_that_is_not_there(store, run_id):
    (reply,) = Reader(store, ("/no/such/program",)).ask(run_id, SHORT)
    assert isinstance(reply, ev.Failed)


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), MemoryError(), KeyboardInterrupt()]
)
def test_no_thread_to_be_had_bars_nobody(reader_for, run_id, monkeypatch, error):
    reader = reader_for()
    real = reader._begin

    def fails(_request):
        raise error

    monkeypatch.setattr(reader, "_begin", fails)
    if isinstance(error, Exception):
        (reply,) = reader.ask(run_id, SHORT)
        assert isinstance(reply, ev.Failed)
    else:
        with pytest.raises(KeyboardInterrupt):
            list(reader.ask(run_id, SHORT))
    monkeypatch.setattr(reader, "_begin", real)
    *_, answered = reader.ask(run_id, SHORT)
    assert answered.dense == "one two three one "


def test_any_two_models_can_be_asked(reader_for, tmp_path):
    for dense in (ModelRef(id="owner/name", revision="abc"), tmp_path / "made-by-a-run"):
        sides = Sides(dense=dense, pruned=(tmp_path,))
        assert Sides.model_validate_json(sides.model_dump_json()) == sides
        assert isinstance(list(reader_for().ask_sides(sides, SHORT))[-1], Answered)


def test_the_process_by_hand(tmp_path):
    """The documented protocol: JSON lines in, JSON lines out, rubbish refused, nothing else on stdout."""
    asked = Ask(sides=Sides(dense=ModelRef(id="x"), pruned=(tmp_path,)), question=SHORT)
    lines = ["rubbish", "stop", asked.model_dump_json(), json.dumps({"prompt": ""})]
    done = subprocess.run(
        [sys.executable, "-m", "tests.runs.fake_reader", "plain"],
        input="\n".join(lines) + "\n",
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds == ["failed", "ready", "step", "step", "step", "step", "answered", "failed"]
    assert "a library prints to stdout" in done.stderr


def test_its_log_stays_short(reader_for, run_id, tmp_path):
    """As long as it was asked it wrote into one file without end."""
    reader, log = reader_for(), tmp_path / "cache" / "reader.log"
    list(reader.ask(run_id, SHORT))
    with log.open("ab") as noise:
        noise.write(b"again\n" * 500_000)
    list(reader.ask(run_id, SHORT))
    assert log.stat().st_size < 100_000 and log.with_name("reader.log.1").stat().st_size == 2_000_000


def test_a_chat_template_that_hears_nothing_is_named_as_what_ended_the_process():
    said = reader_words.ended_with(-signal.SIGPROF)
    assert said.reason == "bad_text" and "without the chat template" in said.message
    assert reader_words.ended_with(-signal.SIGKILL).reason == "worker_died"
