"""The section that looks inside a layer: what it says before, while and after, and who may look."""

from __future__ import annotations

import shutil

import gradio as gr
import pytest

from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.events import Failed
from apt_core.jobs import make_job
from apt_core.measure.inside.questions import LayerQuestion, Looking
from apt_core.plots.inside_layer import NAMES, drawn
from apt_core.runs import token_holder
from apt_core.runs.kept_looks import keep
from apt_core.runs.store import Store
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import inside
from apt_core.ui.views import inside as views
from tests.runs.test_inspecting import LAYER, answered, prune
from tests.ui.test_page import FakeLauncher, FakeReader


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("inside-page"))
    run_id = prune(store)
    return store, run_id, answered(store, LayerQuestion(run=run_id, **LAYER, inputs=True))


class FakeInspector:
    def __init__(self, *replies):
        self.replies, self.asked, self.stopped, self.known = replies, [], [], {}

    def kept(self, question):
        return self.known.get(question)

    def keeps_any(self, run_id):
        return any(question.run == run_id for question in self.known)

    def stop(self, question):
        self.stopped.append(question)

    def ask(self, question, asker=""):
        self.asked.append(question)
        yield from self.replies


def studio_with(store, *replies, policy=HostPolicy()):  # noqa: B008 - immutable
    return Studio(store, FakeLauncher(store), FakeReader(), {}, policy, FakeInspector(*replies))


@pytest.fixture
def section():
    with gr.Blocks():
        return inside.lay_out()


def test_from_press_to_answer(section, pruned):
    store, run_id, seen = pruned
    studio = studio_with(store, Looking(done=1, total=3, detail="blocks"), seen)
    updates = list(inside.look(section, studio, run_id, "1:self_attn.o_proj", True))
    assert studio.inspector.asked == [LayerQuestion(run=run_id, **LAYER, inputs=True)]
    assert any("Blocks, 1 of 3" in str(one.get(section.state)) for one in updates)
    filled = next(one for one in updates if section.summary in one)
    assert (
        "Block 1, self_attn.o_proj" in filled[section.summary] and "closed form" in filled[section.equation]
    )
    assert all(filled[section.charts[name]]["figure"] for name in NAMES)
    assert updates[-1][section.look]["interactive"] is True


@pytest.mark.parametrize("layer", ["", None, "x:y", "-1:q", "1:", {"a": 1}])
def test_what_is_no_layer_is_a_sentence(section, pruned, layer):
    (said,) = inside.look(section, studio_with(pruned[0]), pruned[1], layer, False)
    assert "Choose a layer first." in said[section.state]


def test_a_refusal_is_shown_and_escaped(section, pruned):
    failed = Failed(reason="busy", message="somebody <b>else</b> looks")
    *_, shown, _ = inside.look(
        section, studio_with(pruned[0], failed), pruned[1], "1:self_attn.o_proj", False
    )
    assert "Somebody &lt;b&gt;else" in shown[section.state] and "bad" in shown[section.state]


def test_before_anybody_looks(section, pruned, tmp_path):
    store, run_id, _ = pruned
    shown = inside.show(section, studio_with(store), store.get(run_id))
    assert shown[section.look]["interactive"] and shown[section.section]["visible"]
    assert (
        shown[section.layer]["value"] == "0:self_attn.q_proj" and len(shown[section.layer]["choices"]) == 14
    )
    other = Store(tmp_path)
    measured = other.create(make_job("evaluate", model={"id": "tiny-random-llama"}))
    assert not inside.show(section, studio_with(other), other.get(measured))[section.section]["visible"]


def test_weights_that_are_not_for_everybody_are_not_looked_into(section, pruned):
    store, run_id, _ = pruned
    public = studio_with(store, policy=HostPolicy(public=True))
    token_holder.mark(store.folder(run_id))
    try:
        with pytest.raises(BadInput, match="only for accounts"):
            public.look_inside(LayerQuestion(run=run_id, **LAYER))
        (said,) = inside.look(section, public, run_id, "1:self_attn.o_proj", False)
        assert "only for accounts" in said[section.state] and not public.inspector.asked
        assert "not shown here" in inside.show(section, public, store.get(run_id))[section.state]
        studio_with(store).look_inside(LayerQuestion(run=run_id, **LAYER))  # one's own machine
    finally:
        (store.folder(run_id) / token_holder._FILE).unlink()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (10**6, "This layer has the rows 0 to 63, and no row 1000000."),
        (-1, "This layer has the rows 0 to 63, and no row -1."),
        (1.5, "The row: give a whole number, not 1.5."),
        ("x", "The row: give a number."),
    ],
)
def test_a_row_that_is_not_there_is_refused_in_one_sentence(section, pruned, row, said):
    studio = studio_with(pruned[0])
    (shown,) = inside.look(section, studio, pruned[1], "1:self_attn.o_proj", True, row)
    assert said in shown[section.state] and not studio.inspector.asked


@pytest.mark.parametrize(("row", "asked"), [(5, (5, True)), (0, (0, True)), (None, (None, False))])
def test_the_row_is_chosen_and_needs_the_inputs(section, pruned, row, asked):
    studio = studio_with(pruned[0])
    list(inside.look(section, studio, pruned[1], "1:self_attn.o_proj", False, row))
    (question,) = studio.inspector.asked
    assert (question.row, question.inputs) == asked


def test_what_was_seen_before_can_be_shown_when_the_weights_are_gone(section, pruned, tmp_path):
    store = Store(tmp_path)
    run_id = prune(store)
    seen = answered(store, LayerQuestion(run=run_id, **LAYER))
    question = LayerQuestion(run=run_id, **LAYER)
    keep(store.folder(run_id), question, seen)
    shutil.rmtree(store.checkpoint(run_id))
    studio = Studio(store, FakeLauncher(store), FakeReader(), {})
    shown = inside.show(section, studio, store.get(run_id))
    assert shown[section.look]["interactive"] and "looked at before" in shown[section.state]
    updates = list(inside.look(section, studio, run_id, "1:self_attn.o_proj", False))
    assert any("Block 1, self_attn.o_proj" in str(one.get(section.summary)) for one in updates)
    other = list(inside.look(section, studio, run_id, "0:self_attn.q_proj", False))
    assert any("have been removed to save disk space" in str(one.get(section.state)) for one in other)
    with gr.Blocks() as page:
        own, view = inside.lay_out(), gr.HTML()
        inside.wire(own, view, studio)
    picked = next(fn.fn for fn in page.fns.values() if (own.picked._id, "click") in fn.targets)
    event = gr.EventData(None, {"layer": "1:self_attn.o_proj"})
    found = list(picked(event, {"run": run_id}, False, None))
    assert any("Block 1, self_attn.o_proj" in str(one.get(own.summary)) for one in found)
    for file in (store.folder(run_id) / "inside").iterdir():
        file.unlink()
    assert not inside.show(section, studio, store.get(run_id))[section.look]["interactive"]
    (said,) = picked(event, {"run": run_id}, False, None)
    assert "were removed to save disk space" in said[own.state]


def test_validity_of_groups_is_drawn_where_there_are_groups(pruned):
    seen = pruned[2]
    found = drawn(seen)["groups"]
    assert found.title == "No group violates 2:4" and found.figure.data[0].z[0][0] == 0
    rows = [list(row) for row in seen.groups.map.shares]
    rows[0][0] = 0.25
    map_ = seen.groups.map.model_copy(update={"shares": tuple(map(tuple, rows))})
    broken = seen.model_copy(update={"groups": seen.groups.model_copy(update={"violating": 3, "map": map_})})
    found = drawn(broken)["groups"]
    assert found.title == "Groups that violate 2:4" and "25%" in found.summary
    heat = found.figure.data[0]
    assert heat.z[0][0] == 0.25 == heat.zmax and heat.x[1] == 4 * seen.groups.map.columns_each
    assert drawn(seen.model_copy(update={"groups": None}))["groups"] is None


def test_figures_hold_the_numbers(pruned):
    seen = pruned[2]
    found = drawn(seen)
    rows, columns = found["kept"].figure.data
    assert sum(rows.y) == seen.shape[0] and sum(columns.y) == seen.shape[1]
    assert sum(count or 0 for row in found["change"].figure.data[0].z for count in row) == seen.change.kept
    gone, kept = found["saliency"].figure.data
    shown = seen.inputs.saliencies[1]
    assert sum(gone.y) + sum(kept.y) + shown.zeros == seen.shape[0] * seen.shape[1]
    assert all(one.summary.endswith(".") and one.title for one in found.values())
    without = drawn(seen.model_copy(update={"inputs": None}))
    assert without["saliency"] is None and without["norms"] is None


def test_names_from_outside_are_escaped(pruned):
    seen = pruned[2].model_copy(update={"layer": "<script>", "notes": ("<i>",)})
    said = str(views.summary(seen))
    assert "<script>" not in said and "&lt;script&gt;" in said and "&lt;i&gt;" in said
