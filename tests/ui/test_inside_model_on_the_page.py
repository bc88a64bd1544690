"""The section on a whole model's inside: what it says before, while and after; stopped, kept, and who may look."""

from __future__ import annotations

import shutil
import threading
import time

import gradio as gr
import pytest

from apt_core.base.policy import HostPolicy
from apt_core.events import Failed
from apt_core.jobs import make_job
from apt_core.measure.depth_values import AfterBlock, BlocksAlone, Depth
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion, Looking
from apt_core.runs import token_holder
from apt_core.runs.store import Store
from apt_core.ui import server
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import inside_model
from tests.runs.test_inspecting import prune
from tests.ui.test_inside_on_the_page import FakeInspector
from tests.ui.test_page import FakeLauncher, FakeReader


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("inside-model"))
    return store, prune(store)


def studio_with(store, inspector, policy=HostPolicy()):  # noqa: B008 - immutable
    return Studio(store, FakeLauncher(store), FakeReader(), {}, policy, inspector)


@pytest.fixture
def section():
    with gr.Blocks():
        return inside_model.lay_out()


def a_depth(run, text="wiki-sample"):
    blocks = tuple(
        AfterBlock(block=b, relative_error=0.01 * 2**b, median_error=0.02, cosine=0.99, divergence=0.1 * b)
        for b in range(8)
    )
    return Depth(
        run=run, text=text, windows=4, length=64, positions=256, blocks=blocks, top1=0.8, seconds=1.0
    )


def some_alone(run):
    losses = (3.4, 3.01, 3.02, 3.0, 3.03, 3.02)
    return BlocksAlone(
        run=run, text="wiki-sample", windows=2, length=64, dense=3.0, pruned=3.6, losses=losses, seconds=1.0
    )


def looked(section, studio, run_id, name="depth", stop=None):
    return list(inside_model.look(section, studio, run_id, name, stop or threading.Event()))


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("depth", a_depth, "grows 128-fold from block 0 to 7"),
        ("alone", some_alone, "Block 0 alone costs far more"),
    ],
)
def test_from_press_to_chart(section, pruned, name, answer, words):
    store, run_id = pruned
    inspector = FakeInspector(Looking(done=1, total=3, detail="blocks of both models"), answer(run_id))
    begun, step, last = looked(section, studio_with(store, inspector), run_id, name)
    assert inspector.asked == [inside_model.ASKS[name](run=run_id)]
    assert begun[section.stop]["visible"] and not begun[section.asks["alone"]]["interactive"]
    assert "Blocks of both models, 1 of 3" in step[section.state]
    shown = last[section.charts[name]]
    assert words in shown["title"] and shown["figure"] and shown["summary"].endswith(".")
    assert "<table>" in last[section.tables[name]] and not last[section.stop]["visible"]


def test_stop_ends_the_question_and_says_so(section, pruned):
    store, run_id = pruned
    stop = threading.Event()

    class Working(FakeInspector):
        def ask(self, question, asker=""):
            yield Looking(done=0, total=9, detail="blocks")
            while not self.stopped:
                time.sleep(0.01)
            yield Failed(reason="worker_died", message="ended without a message")

    inspector = Working()
    updates = inside_model.look(section, studio_with(store, inspector), run_id, "depth", stop)
    next(updates), next(updates)
    stop.set()
    *_, last = updates
    assert inspector.stopped == [DepthQuestion(run=run_id)]
    assert "Stopped" in last[section.state] and "bad" not in last[section.state]
    assert last[section.asks["depth"]]["interactive"] and section.charts["depth"] not in last


def test_what_was_found_before_is_there_when_the_run_is_opened(section, pruned):
    store, run_id = pruned
    inspector = FakeInspector()
    studio = studio_with(store, inspector)
    shown = inside_model.show(section, studio, store.get(run_id))
    assert shown[section.charts["alone"]] is None and shown[section.section]["visible"]
    button = shown[section.asks["alone"]]
    assert button["interactive"] and button["value"].startswith("Prune each block alone · about ")
    inspector.known = {BlocksAloneQuestion(run=run_id): some_alone(run_id)}
    shown = inside_model.show(section, studio, store.get(run_id))
    assert "Block 0" in shown[section.charts["alone"]]["title"] and shown[section.charts["depth"]] is None
    assert shown[section.asks["alone"]]["value"].endswith("shown below")
    assert not shown[section.asks["alone"]]["interactive"] and shown[section.asks["depth"]]["interactive"]


def test_weights_that_are_gone_are_said_and_what_was_found_stays(section, tmp_path):
    store = Store(tmp_path)
    run_id = prune(store)
    inspector = FakeInspector()
    inspector.known = {DepthQuestion(run=run_id): a_depth(run_id)}
    shutil.rmtree(store.checkpoint(run_id))
    shown = inside_model.show(section, studio_with(store, inspector), store.get(run_id))
    assert "removed to save disk space" in shown[section.state]
    assert not shown[section.asks["alone"]]["interactive"] and shown[section.charts["depth"]]["figure"]


def test_the_numbers_can_be_downloaded_once_they_are_there(pruned):
    store, run_id = pruned
    inspector = FakeInspector()
    studio = studio_with(store, inspector)
    assert server.answer(studio, run_id, "depth.csv").status_code == 404
    inspector.known = {
        DepthQuestion(run=run_id): a_depth(run_id),
        BlocksAloneQuestion(run=run_id): some_alone(run_id),
    }
    depth = server.answer(studio, run_id, "depth.csv").body.decode().splitlines()
    assert depth[0] == "block,relative_error,median_error,cosine,divergence" and len(depth) == 9
    alone = server.answer(studio, run_id, "blocks-alone.csv").body.decode().splitlines()
    assert alone[1].startswith("0,3.4,0.39999")


def test_runs_that_pruned_nothing_have_no_such_section(section, tmp_path):
    store = Store(tmp_path)
    measured = store.create(make_job("evaluate", model={"id": "tiny-random-llama"}))
    shown = inside_model.show(section, studio_with(store, FakeInspector()), store.get(measured))
    assert not shown[section.section]["visible"]


def test_a_refusal_is_a_sentence_and_escaped(section, pruned):
    store, run_id = pruned
    refused = FakeInspector(Failed(reason="busy", message="somebody <b>else</b> looks"))
    *_, last = looked(section, studio_with(store, refused), run_id)
    assert "Somebody &lt;b&gt;else" in last[section.state] and "bad" in last[section.state]
    (gone,) = looked(section, studio_with(store, refused), "20200101-000000-0000")
    assert "There is no run" in gone[section.state]


def test_weights_that_are_not_for_everybody_are_not_looked_into(section, pruned):
    store, run_id = pruned
    inspector = FakeInspector(a_depth(run_id))
    inspector.known = {DepthQuestion(run=run_id): a_depth(run_id)}
    public = studio_with(store, inspector, policy=HostPolicy(public=True))
    token_holder.mark(store.folder(run_id))
    try:
        (said,) = looked(section, public, run_id)
        assert "only for accounts" in said[section.state] and not inspector.asked
        shown = inside_model.show(section, public, store.get(run_id))
        assert shown[section.charts["depth"]] is None and "not shown here" in shown[section.state]
    finally:
        (store.folder(run_id) / token_holder._FILE).unlink()


def test_a_text_from_outside_is_no_html(section, pruned):
    store, run_id = pruned
    inspector = FakeInspector(a_depth(run_id, text="<script>.txt"))
    *_, last = looked(section, studio_with(store, inspector), run_id)
    assert "<script>" not in last[section.tables["depth"]]
