"""Looking inside runs: real ones from their stored weights, what is kept, refusals, deaths and second askers."""

from __future__ import annotations

import json
import shutil
import sys
import threading

import psutil
import pytest

from apt_core import execute
from apt_core.base.errors import BadInput
from apt_core.base.model_bounds import ModelBounds
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.events import Cancelled, Failed
from apt_core.execute.context import Context
from apt_core.jobs import make_job
from apt_core.measure.depth_values import BlocksAlone, Depth
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion, LayerQuestion, Looking
from apt_core.measure.inside.values import LayerInside
from apt_core.runs import inspector, kept_looks
from apt_core.runs.inspecting import Inspector
from apt_core.runs.kept_looks import keep, recall
from tests.runs.helpers import small_disk, until

SMALL = {"text": "wiki-sample", "samples": 4, "length": 64}
LAYER = {"block": 1, "layer": "self_attn.o_proj"}


def prune(store, model="tiny-random-llama", method="apt", **more):
    """A run of the store, done in this process."""
    job = make_job(
        "prune",
        model={"id": model},
        method=method,
        calibration=SMALL,
        evaluation=SMALL | {"samples": 2},
        **more,
    )
    run_id = store.create(job)
    for event in execute.run(job, Context.of(job, store.folder(run_id), PRIVATE, store)):
        store.append(run_id, event)
    return run_id


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A store with runs that tests only read."""
    from apt_core.runs.store import Store

    store = Store(tmp_path_factory.mktemp("inside"))
    return (
        store,
        prune(store),
        prune(store, method="wanda", pattern={"kind": "unstructured", "sparsity": 0.3}),
    )


@pytest.fixture
def inspectors(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    made = []

    def make(store, behaviour="plain", **settings):
        command = (sys.executable, "-m", "tests.runs.fake_inspector", behaviour)
        made.append(Inspector(store, command, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answered(store, question):
    """By the inspector's own code, in this process."""
    *looking, last = inspector.replies(question.model_dump_json(), store, PRIVATE)
    assert looking and all(isinstance(one, Looking) for one in looking)
    return last


@pytest.mark.parametrize("which", [1, 2])
def test_a_layer_is_seen_as_the_run_left_it(pruned, which):
    store, run_id = pruned[0], pruned[which]
    seen = answered(store, LayerQuestion(run=run_id, **LAYER, inputs=True))
    assert isinstance(seen, LayerInside), seen
    said = next(one for one in store.get(run_id).layers if (one.block, one.layer) == (1, LAYER["layer"]))
    assert (seen.removed, seen.shape) == (said.removed, said.shape)
    assert seen.inputs.tokens == said.tokens == 4 * 64
    assert seen.inputs.relative_error == pytest.approx(said.relative_error, rel=2e-3)  # the common yardstick
    assert seen.heads.count == 4 and seen.heads.along == "columns"
    assert (seen.groups is None) == (which == 2) and (seen.groups is None or seen.groups.violating == 0)
    assert (seen.change.moved > 0) == (which == 1)
    assert seen.worked.row == seen.neurons.worst[0].index and seen.worked.own == (which == 1)
    whole = seen.worked.whole
    assert (
        whole.stored < whole.zeroed if which == 1 else whole.stored == pytest.approx(whole.zeroed, rel=1e-3)
    )
    if which == 2:
        own = seen.inputs.saliencies[0]
        assert own.own and own.agreement > 0.9
    assert len(seen.model_dump_json()) < 100_000


def test_a_row_can_be_chosen_and_must_be_there(pruned):
    store, run_id, _ = pruned
    assert answered(store, LayerQuestion(run=run_id, **LAYER, inputs=True, row=5)).worked.row == 5
    question = LayerQuestion(run=run_id, **LAYER, inputs=True, row=5000)
    (refused,) = inspector.replies(question.model_dump_json(), store, PRIVATE)  # and nothing is read for it
    assert isinstance(refused, Failed) and "no row 5000" in refused.message


def test_without_inputs_nothing_is_walked(pruned, monkeypatch):
    store, run_id, _ = pruned
    monkeypatch.setattr(inspector, "open_model", lambda *_: pytest.fail("a model was loaded"))
    seen = answered(store, LayerQuestion(run=run_id, **LAYER))
    assert seen.inputs is None and seen.worked is None and not seen.neurons.by_output


def test_depth_and_blocks_alone_of_a_run(pruned):
    store, run_id, _ = pruned
    found = answered(store, DepthQuestion(run=run_id, windows=2))
    assert isinstance(found, Depth) and (found.windows, found.length) == (2, 64)
    assert len(found.blocks) == store.get(run_id).model.blocks
    alone = answered(store, BlocksAloneQuestion(run=run_id))
    assert isinstance(alone, BlocksAlone) and len(alone.losses) == len(found.blocks)
    record = store.get(run_id)
    assert alone.dense == pytest.approx(sum(record.dense.losses) / 2, rel=1e-3)  # the same windows
    assert alone.pruned == pytest.approx(sum(record.pruned.losses) / 2, rel=1e-3)


def test_a_run_of_a_run_is_seen_against_the_run(pruned):
    store, run_id, _ = pruned
    child = prune(store, f"run:{run_id}", "magnitude", pattern={"kind": "unstructured", "sparsity": 0.7})
    seen = answered(store, LayerQuestion(run=child, **LAYER))
    assert seen.removed == round(0.7 * seen.shape[0] * seen.shape[1]) and seen.change.moved == 0


@pytest.mark.slow
def test_a_model_is_fetched_within_the_bounds_of_its_run(pruned, monkeypatch):
    store, first, _ = pruned
    given = []

    def fetch(job, context):
        given.append(context.bounds)
        raise BadInput("far enough")
        yield

    monkeypatch.setattr(inspector, "fetch_model", fetch)
    monkeypatch.setenv("APT_MODEL_GB", "2")
    monkeypatch.setattr(
        store, "get", lambda _, get=store.get: get(first).model_copy(update={"owner": "v:ann"})
    )
    asked = LayerQuestion(run=first, **LAYER)
    assert list(inspector.replies(asked.model_dump_json(), store, STRICT))[-1].message == "far enough"
    assert given == [ModelBounds(n_bytes=2 * 10**9, blocks=64)]


def test_a_real_process_answers_and_the_answer_is_kept(pruned, tmp_path, monkeypatch):
    store, run_id, _ = pruned
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("APT_DATA", str(store.root))
    real = Inspector(store)
    try:
        question = LayerQuestion(run=run_id, block=0, layer="mlp.up_proj")
        *_, seen = real.ask(question)
        assert isinstance(seen, LayerInside), seen
        assert recall(store.folder(run_id), question) == seen
    finally:
        real.close()


# --- what is kept --------------------------------------------------------------------------------


@pytest.fixture
def run_id(store):
    """A run that has said it finished, with files that look like weights."""
    from tests.runs.fake_worker import finished, save

    run_id = store.create(make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude"))
    store.append(run_id, finished(save(store.folder(run_id))))
    return run_id


def last(replies):
    *_, found = replies
    return found


def test_the_same_question_is_answered_once(store, run_id, inspectors):
    one = inspectors(store)
    first = last(one.ask(DepthQuestion(run=run_id)))
    one.close()
    assert list(inspectors(store, "mortal").ask(DepthQuestion(run=run_id))) == [first]
    assert isinstance(last(inspectors(store, "mortal").ask(DepthQuestion(run=run_id, windows=3))), Failed)
    shutil.rmtree(store.folder(run_id) / "checkpoint")
    assert last(inspectors(store, "mortal").ask(DepthQuestion(run=run_id))) == first


def test_another_format_and_a_broken_file_are_looked_at_again(store, run_id, inspectors, monkeypatch):
    question = DepthQuestion(run=run_id)
    first = last(inspectors(store).ask(question))
    (file,) = (store.folder(run_id) / "inside").glob("*.json")
    file.write_text("{")
    again = last(inspectors(store).ask(question))
    assert again.text != first.text  # another process looked
    monkeypatch.setattr(kept_looks, "FORMAT", 99)
    assert recall(store.folder(run_id), question) is None


def test_only_so_many_answers_are_kept(store, run_id, monkeypatch):
    monkeypatch.setattr(kept_looks, "MOST_KEPT", 3)
    answer = Depth(run=run_id, text="t", windows=1, length=16, positions=1, blocks=(), top1=1, seconds=0)
    folder = store.folder(run_id)
    for windows in range(1, 7):
        keep(folder, DepthQuestion(run=run_id, windows=windows), answer)
    assert (
        recall(folder, DepthQuestion(run=run_id, windows=6)) and len(list((folder / "inside").iterdir())) == 3
    )
    assert recall(folder, DepthQuestion(run=run_id, windows=1)) is None


@pytest.mark.parametrize("row", [None, 5])
def test_only_a_layer_that_can_be_shown_is_promised(pruned, store, run_id, inspectors, monkeypatch, row):
    """Once the weights were gone, answers about the depth and those of an older format were promised as layers."""
    looker, folder = inspectors(store), store.folder(run_id)
    depth = Depth(run=run_id, text="t", windows=1, length=16, positions=1, blocks=(), top1=1, seconds=0)
    keep(folder, DepthQuestion(run=run_id), depth)
    (folder / "inside" / "broken.json").write_text("{")
    assert not looker.keeps_any(run_id)
    asked = LayerQuestion(run=run_id, **LAYER, inputs=row is not None, row=row)
    seen = answered(pruned[0], asked.model_copy(update={"run": pruned[1]}))
    with monkeypatch.context() as older:
        older.setattr(kept_looks, "FORMAT", 0)
        keep(folder, asked, seen.model_copy(update={"run": run_id}))
    assert not looker.keeps_any(run_id)
    keep(folder, asked, seen.model_copy(update={"run": run_id}))
    assert looker.keeps_any(run_id)


def test_a_full_disk_costs_nothing_but_the_kept_answer(tmp_path):
    answer = Depth(run="r", text="t" * 9000, windows=1, length=16, positions=1, blocks=(), top1=1, seconds=0)
    with small_disk(tmp_path / "disk", "8k") as folder:
        keep(folder, DepthQuestion(run="r"), answer)
        assert recall(folder, DepthQuestion(run="r")) is None


# --- refusals ------------------------------------------------------------------------------------


def refusal(store, inspectors, **question):
    (said,) = inspectors(store, "mortal").ask(LayerQuestion(**LAYER | question))
    assert isinstance(said, Failed) and said.message.count(". ") == 0, said
    return said.message


def test_what_cannot_be_looked_into_is_said_in_one_sentence(pruned, store, run_id, inspectors):
    real, done, _ = pruned
    assert "no run" in refusal(store, inspectors, run="20260101-000000-abcd")
    assert "no run" in refusal(store, inspectors, run="../../etc")
    assert "are 0 to 1" in refusal(real, inspectors, run=done, block=7)
    assert "mlp.down_proj" in refusal(real, inspectors, run=done, layer="<script>")
    measured = store.create(make_job("evaluate", model={"id": "tiny-random-llama"}))
    assert "only measured" in refusal(store, inspectors, run=measured)
    waiting = store.create(store.get(run_id).job)
    assert "has not finished yet" in refusal(store, inspectors, run=waiting)
    store.append(waiting, Cancelled())
    with store.index.write() as rows:
        rows.update(waiting, status="cancelled")
    assert "did not finish" in refusal(store, inspectors, run=waiting)


def test_removed_weights_are_named(store, run_id, inspectors):
    shutil.rmtree(store.folder(run_id) / "checkpoint")
    (said,) = inspectors(store, "mortal").ask(DepthQuestion(run=run_id))
    assert "have been removed to save disk space" in said.message and said.reason == "bad_input"


def test_a_line_that_is_no_question_is_refused(store):
    (said,) = inspector.replies(json.dumps({"kind": "layer", "run": "x"}), store, PRIVATE)
    assert isinstance(said, Failed) and said.reason == "bad_input"


# --- processes -----------------------------------------------------------------------------------


def test_the_process_stays_for_the_next_question(store, run_id, inspectors):
    one = inspectors(store)
    pids = {last(one.ask(DepthQuestion(run=run_id, windows=n))).text for n in (1, 2, 3)}
    assert len(pids) == 1


def test_a_death_is_told_and_the_next_question_starts_anew(store, run_id, inspectors):
    one = inspectors(store, "mortal")
    for windows in (1, 2):
        said = last(one.ask(DepthQuestion(run=run_id, windows=windows)))
        assert isinstance(said, Failed) and "SIGKILL" in said.message


def test_silence_counts_as_dead(store, run_id, inspectors):
    said = last(inspectors(store, "hanging", silence=0.5).ask(DepthQuestion(run=run_id)))
    assert "silent for 0.5 seconds" in said.message


def test_a_process_that_takes_too_much_memory_is_ended_with_a_sentence(store, run_id, inspectors):
    one = inspectors(store, "greedy", memory_bytes=250_000_000)
    said = last(one.ask(DepthQuestion(run=run_id)))
    assert said.reason == "out_of_memory" and "250 MB is the most that it may hold here" in said.message
    one._command = (*one._command[:-1], "plain")
    assert isinstance(last(one.ask(DepthQuestion(run=run_id))), Depth)


def test_a_process_that_has_said_its_last_word_is_not_asked_again(store, run_id, inspectors, monkeypatch):
    """The system may need a moment to say that it is gone."""
    one = inspectors(store, "hanging")
    asking = one.ask(DepthQuestion(run=run_id))
    next(asking)
    process = one._process
    monkeypatch.setattr(process._popen, "poll", lambda: None)
    process._popen.kill()
    assert isinstance(last(asking), Failed) and not process.alive
    one._command = (*one._command[:-1], "plain")
    assert isinstance(last(one.ask(DepthQuestion(run=run_id))), Depth)


def test_nobody_listens_any_more_and_the_process_is_gone(store, run_id, inspectors):
    one = inspectors(store, "hanging")
    asking = one.ask(DepthQuestion(run=run_id))
    assert isinstance(next(asking), Looking)
    process = psutil.Process(one._process._popen.pid)
    asking.close()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_a_second_asker_is_told_to_wait(store, run_id, inspectors):
    one = inspectors(store, "hanging", patience=0.1)
    asking = one.ask(DepthQuestion(run=run_id))
    next(asking)
    found = []
    other = threading.Thread(target=lambda: found.extend(one.ask(DepthQuestion(run=run_id, windows=2))))
    other.start()
    other.join(10)
    assert [said.reason for said in found] == ["busy"]
    asking.close()


def test_who_waits_is_told_how_many_come_before_and_served_in_turn(store, run_id, inspectors):
    """Whoever came second was sent away, so that one visitor who looked again and again left nobody a turn."""
    one = inspectors(store, "plain")
    assert one._line.enter(one._line.join("ann"), 0.1)
    found = {name: one.ask(DepthQuestion(run=run_id), name) for name in ("ann", "bob")}
    assert next(found["ann"]).detail == "One look comes before yours"
    assert next(found["bob"]).detail == "One look comes before yours"
    assert next(found["ann"]).detail == "2 looks come before yours", "bob has not been served yet"
    found["ann"].close()
    one._line.end()
    assert isinstance(last(found["bob"]), Depth)


def test_what_somebody_before_has_found_is_not_looked_for_again(store, run_id, inspectors):
    one, question = inspectors(store), DepthQuestion(run=run_id, windows=2)
    assert one._line.enter(one._line.join("ann"), 0.1)
    waiting = one.ask(question, "bob")
    assert isinstance(next(waiting), Looking)
    first = last(inspectors(store).ask(question))
    one._line.end()
    assert last(waiting) == first and one._process is None


def test_stop_ends_the_work_on_this_question_and_on_no_other(store, run_id, inspectors):
    one, question = inspectors(store, "hanging"), DepthQuestion(run=run_id)
    asking = one.ask(question)
    assert isinstance(next(asking), Looking)
    one.stop(DepthQuestion(run=run_id, windows=9))
    assert one._process.alive
    threading.Timer(0.2, one.stop, [question]).start()
    assert isinstance(last(asking), Failed) and one._process is None
    one.stop(question)  # nothing is asked any more
    assert one.kept(question) is None


def test_what_was_found_before_is_known_without_looking(store, run_id, inspectors):
    question = DepthQuestion(run=run_id)
    assert inspectors(store).kept(question) is None
    first = last(inspectors(store).ask(question))
    shutil.rmtree(store.folder(run_id) / "checkpoint")
    assert inspectors(store, "mortal").kept(question) == first
    assert inspectors(store).kept(DepthQuestion(run="20260101-000000-abcd")) is None
    assert inspectors(store).kept(DepthQuestion(run="../../etc")) is None


def test_its_log_is_emptied_when_it_has_grown(store, run_id, inspectors, tmp_path):
    one, log = inspectors(store), tmp_path / "cache" / "inspector.log"
    last(one.ask(DepthQuestion(run=run_id)))
    with log.open("ab") as noise:
        noise.write(b"again\n" * 500_000)
    last(one.ask(DepthQuestion(run=run_id, windows=2)))
    assert log.stat().st_size < 100_000 and log.with_name("inspector.log.1").stat().st_size == 2_000_000
