"""Before the run: what each layer gets is shown, cells are held, Prune is filled; and who may look at what."""

from __future__ import annotations

import re
import threading
import time

import gradio as gr
import pytest
from ui_helpers import ANN, BOB, FakeLauncher, FakeReader

from apt_core.base.errors import BadInput, NotYours, OverQuota
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.events import Failed
from apt_core.measure.inside.questions import AllocationQuestion, Looking
from apt_core.measure.layer_shares import LayerShare, LayerShares
from apt_core.runs.owners import STRANGER
from apt_core.runs.quotas import Quotas
from apt_core.runs.store import Store
from apt_core.ui.acting import acting_for
from apt_core.ui.forms import checks, choose
from apt_core.ui.studio import Studio, open_studio
from apt_core.ui.tabs import allocation, explore
from apt_core.ui.tabs.allocation import Shown
from tests.runs.test_inspecting import prune
from tests.ui.test_inside_on_the_page import FakeInspector
from tests.ui.test_page import values

NAMES = ("self_attn.q_proj", "mlp.down_proj")
FOUND = LayerShares(
    title="Tiny <b>Llama</b>",
    allocation="By depth (ATP)",
    pattern="50%",
    layers=tuple(
        LayerShare(block=block, layer=name, weights=1000, sparsity=0.4 + 0.2 * block)
        for block in range(2)
        for name in NAMES
    ),
)
ATP = {
    "pattern__kind": "unstructured",
    "pattern__sparsity": 50,
    "method__name": "wanda",
    "method__method": "wanda",
    "method__allocation": "atp",
}


@pytest.fixture(scope="module")
def page():
    with gr.Blocks():
        return explore.lay_out()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def studio_with(store, *replies, policy=HostPolicy(), **more):  # noqa: B008 - immutable
    return Studio(store, FakeLauncher(store), FakeReader(), {}, policy, FakeInspector(*replies), **more)


def asked(page, studio, stop=None, **changes):
    given = values(page, **ATP | changes)
    return list(allocation.look(page.allocation, page.chooser, studio, given, stop or threading.Event()))


def changed(page, studio, shown, cells, **changes):
    given = values(page, **ATP | changes)
    return allocation.change(page.allocation, page.chooser, studio, shown, given, cells)


def shown_for(page, studio, **changes):
    *_, last = asked(page, studio, **changes)
    return last[page.allocation.shown]


def test_from_press_to_chart_and_table(page, store):
    studio = studio_with(store, Looking(done=1, total=2, detail="a look at the dense model"), FOUND)
    begun, step, last = asked(page, studio)
    section, show = page.allocation, page.chooser.shares.show
    (question,) = studio.inspector.asked
    assert question.job.method.allocation.name == "atp" and question.job.model.id == "tiny-random-llama"
    assert begun[section.section]["visible"] and begun[section.stop]["visible"]
    assert not begun[show]["interactive"] and last[show]["interactive"]
    assert "A look at the dense model, 1 of 2." in step[section.state]
    assert last[section.chart]["title"] == "By depth (ATP) at 50%: layers lose 40% to 60% of their weights"
    assert "Together 50% of 4,000 weights go." in last[section.state]
    assert last[section.grid].count("<input") == 4 and 'data-layer="1:mlp.down_proj"' in last[section.grid]
    assert "block 1, down, percent to remove" in last[section.grid] and "data-held" not in last[section.grid]
    assert not last[section.release]["visible"] and last[section.shown] == Shown(question, FOUND)


def test_a_cell_is_held_and_the_form_asks_for_just_that(page, store):
    studio = studio_with(store, FOUND)
    section, controls = page.allocation, page.chooser.controls
    updates = changed(page, studio, shown_for(page, studio), {"1:mlp.down_proj": "30"})
    assert updates[controls["method.allocation"]] == "by-hand"
    held = updates[controls["method.allocation.by-hand.held"]]
    start = updates[controls["method.allocation.by-hand.start"]]
    assert held == "1:mlp.down_proj=0.3" and start.startswith("0:self_attn.q_proj=0.4, ")
    assert updates[section.grid].count('data-held="yes"') == 1 and updates[section.release]["visible"]
    shown = [float(one) for one in re.findall(r'value="([\d.]+)"', updates[section.grid])]
    assert shown == [50, 50, 70, 30] and "Together 50% of 4,000" in updates[section.state]
    assert updates[section.chart]["title"] == "By hand at 50%: layers lose 30% to 70% of their weights"


def test_changes_add_up_one_is_let_go_and_all_are(page, store):
    studio = studio_with(store, FOUND)
    shown = shown_for(page, studio)
    by_hand = {
        "method__allocation": "by-hand",
        "method__allocation__by-hand__start": FOUND.start,
        "method__allocation__by-hand__held": "1:mlp.down_proj=0.3",
    }
    controls = page.chooser.controls
    held = controls["method.allocation.by-hand.held"]
    more = changed(page, studio, shown, {"0:mlp.down_proj": "10", "1:self_attn.q_proj": ""}, **by_hand)
    assert more[held] == "1:mlp.down_proj=0.3, 0:mlp.down_proj=0.1"
    fewer = changed(page, studio, shown, {"1:mlp.down_proj": None}, **by_hand)
    assert fewer[held] == "" and not fewer[page.allocation.release]["visible"]
    given = values(page, **ATP | by_hand)
    none = allocation.let_go(page.allocation, page.chooser, studio, shown, given)
    assert none[held] == "" and none[controls["method.allocation.by-hand.start"]] == FOUND.start


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (None, "Change a cell"),
        ({"1:mlp.down_proj": "120"}, "0 to 99 percent of its weights, not 120"),
        ({"1:mlp.down_proj": "nan"}, "0 to 99 percent"),
        ({"1:mlp.down_proj": {"a": 1}}, "0 to 99 percent"),
        ({"7:mlp.down_proj": "30"}, "no layer 7:mlp.down_proj"),
        ({"<b>": "30"}, "such as 3:mlp.down_proj=0.3"),
        ({f"{block}:{name}": "10" for block in range(2) for name in NAMES}, "hold fewer"),
        ({str(number): "1" for number in range(5000)}, "Change a cell"),
    ],
)
def test_what_cannot_be_held_is_a_sentence_and_changes_nothing(page, store, cells, said):
    studio = studio_with(store, FOUND)
    updates = changed(page, studio, shown_for(page, studio), cells)
    assert said in updates.pop(page.allocation.state) and not updates


def test_what_was_chosen_otherwise_meanwhile_is_shown_again_first(page, store):
    studio = studio_with(store, FOUND)
    shown = shown_for(page, studio)
    cells = {"1:mlp.down_proj": "30"}
    for changes in ({"model": "tiny-llama"}, {"pattern__sparsity": 60}, {"method__allocation": "owl"}):
        (said,) = changed(page, studio, shown, cells, **changes).values()
        assert "changed since this was shown" in said
    (said,) = changed(page, studio, None, cells).values()
    assert "show it again" in said
    by_hand = {"method__allocation": "by-hand", "method__allocation__by-hand__start": FOUND.start}
    other = changed(page, studio, shown, cells, pattern__sparsity=60, **by_hand)
    assert "Together 60% of 4,000" in other[page.allocation.state], "by hand it goes on at another sparsity"


def test_a_plain_pattern_is_shown_and_cannot_be_changed(page, store):
    even = FOUND.model_copy(update={"allocation": "Uniform", "pattern": "2:4"})
    studio = studio_with(store, even)
    changes = {"pattern__kind": "n:m", "pattern__name": "2:4", "method__allocation": "uniform"}
    *_, last = asked(page, studio, **changes)
    assert "<input" not in last[page.allocation.grid] and "<td" in last[page.allocation.grid]
    said = changed(page, studio, last[page.allocation.shown], {"1:mlp.down_proj": "30"}, **changes)
    assert "An N:M pattern fixes" in said[page.allocation.state]


def test_an_allocation_that_decides_nothing_at_a_plain_pattern_is_refused_with_the_reason(page, store):
    given = values(page, **ATP | {"pattern__kind": "n:m", "pattern__name": "2:4"})
    checked = choose.check(page.chooser, studio_with(store), given)
    assert "2:4 takes the same share of every layer" in checked[page.chooser.preflight]
    assert not checked[page.chooser.prune]["interactive"]


def test_experts_of_a_block_are_one_cell_that_shows(page, store):
    layers = tuple(
        LayerShare(
            block=0,
            layer=f"mlp.experts.{number}.down_proj",
            weights=100 * (1 + number),
            sparsity=0.5 * number,
        )
        for number in range(2)
    )
    studio = studio_with(store, FOUND.model_copy(update={"layers": layers}))
    *_, last = asked(page, studio)
    assert "<input" not in last[page.allocation.grid] and ">33.3<" in last[page.allocation.grid]


def test_stop_ends_the_question_and_says_so(page, store):
    class Working(FakeInspector):
        def ask(self, question, asker=""):
            yield Looking(done=0, total=9, detail="gradients")
            while not self.stopped:
                time.sleep(0.01)
            yield Failed(reason="worker_died", message="ended without a word")

    studio, stop = studio_with(store), threading.Event()
    studio.inspector = Working()
    given = values(page, **ATP)
    updates = allocation.look(page.allocation, page.chooser, studio, given, stop)
    next(updates), next(updates)
    stop.set()
    *_, last = updates
    assert len(studio.inspector.stopped) == 1 and "Stopped" in last[page.allocation.state]


def test_a_refusal_is_a_sentence_and_escaped(page, store, fresh_cache):
    failed = Failed(reason="busy", message="somebody <b>else</b> looks")
    *_, last = asked(page, studio_with(store, failed))
    assert "Somebody &lt;b&gt;else" in last[page.allocation.state] and "bad" in last[page.allocation.state]
    studio = studio_with(store, FOUND)
    for changes, words in (
        ({"model": "/not/here"}, "no folder"),
        ({"method__allocation__atp__rise": 7}, "rise"),
        ({"method__name": "depth"}, "removes whole structures"),
        ({"model": "gemma-3-270m"}, "tick that you accept"),
    ):
        (said,) = asked(page, studio, **changes)
        assert words in said[page.allocation.state], changes
    assert not studio.inspector.asked


def test_what_it_takes_is_said_beside_the_button(page, store):
    def says(**changes):
        checked = choose.check(page.chooser, studio_with(store), values(page, **ATP | changes))
        return checked[page.chooser.shares.says], checked[page.chooser.shares.show]

    assert re.search(r"Reads the model alone, about \d+ s\.", says()[0]) and says()[1]["interactive"]
    assert "the calibration text" in says(method__allocation="owl")[0]
    assert "Every layer gets the same" in says(pattern__kind="n:m", method__allocation="uniform")[0]
    assert says(method__name="depth") == ("", {"interactive": True, "__type__": "update"})
    assert not says(model="/not/here")[1]["interactive"]


# ---- on a public host


def test_looks_are_counted_and_what_is_kept_costs_none(page, store):
    studio = studio_with(store, FOUND, policy=STRICT, quotas=Quotas(looks_per_hour=1))
    with acting_for(ANN):
        *_, first = asked(page, studio)
        assert first[page.allocation.shown].found == FOUND
        (refused,) = asked(page, studio, method__allocation="owl")
        assert "you have 1 an hour on this page" in refused[page.allocation.state]
        studio.inspector.known = {first[page.allocation.shown].question: FOUND}
        *_, again = asked(page, studio)
        assert again[page.allocation.shown].found == FOUND
    with acting_for(BOB):
        assert asked(page, studio)[-1][page.allocation.shown].found == FOUND
    with acting_for(STRANGER):
        (said,) = asked(page, studio)
        assert "bad" in said[page.allocation.state]


def test_models_that_are_too_large_or_not_for_everybody_are_refused(page, store, monkeypatch):
    studio = studio_with(store, FOUND, policy=STRICT, quotas=Quotas(model_blocks=1))
    with acting_for(ANN):
        (said,) = asked(page, studio)
        assert "decoder blocks" in said[page.allocation.state] and not studio.inspector.asked
    facts = checks.facts_of("tiny-random-llama")
    question = AllocationQuestion.of(_job(page, studio))
    with acting_for(ANN), pytest.raises(BadInput, match="only for accounts"):
        studio_with(store, policy=STRICT).look_at_allocation(
            question, facts.model_copy(update={"members_only": True})
        )
    with acting_for(ANN), pytest.raises(OverQuota):
        studio.look_at_allocation(question, facts)


def test_what_another_visitors_run_made_is_not_looked_at(page, store):
    run_id = prune(store)
    studio = studio_with(store, FOUND, policy=STRICT)
    job = _job(page, studio)
    question = AllocationQuestion.of(job.changed(model={"id": f"run:{run_id}"}))
    with acting_for(ANN), pytest.raises(NotYours):
        studio.look_at_allocation(question, checks.facts_of("tiny-random-llama"))


def test_a_look_on_a_host_may_take_as_long_as_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("APT_RUN_MINUTES", "5")
    monkeypatch.setenv("APT_WARM", "0")
    opened = open_studio(STRICT)
    try:
        assert opened.inspector._most_seconds == 300 and opened.inspector._policy == STRICT
        assert opened.inspector._memory_bytes
    finally:
        opened.close()


def _job(page, studio):
    return allocation._job_of(page.chooser, studio, values(page, **ATP))
