"""The map of methods: five groups, every method in one of them, drawn from the registries."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, some_events

from apt_core.methods import COMPONENTS, METHODS, STRUCTURED
from apt_core.methods.registry import RECOVERIES
from apt_core.methods.searching.evolution import Evolution
from apt_core.reports import measured
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import methods as methods_tab
from apt_core.ui.views.methods_map import GROUPS, group_of, line_of, members, outcomes_of
from apt_core.ui.views.methods_page import methods_page

RUN = "20261124-100000-abcd"


def test_every_method_is_in_one_group_and_no_group_is_empty():
    everything = [*METHODS.values(), *STRUCTURED.values(), *RECOVERIES.values(), Evolution]
    assert sorted(kind.name for group in GROUPS for kind in members(group)) == sorted(
        kind.name for kind in everything
    )
    assert len(GROUPS) == 5 and all(members(group) for group in GROUPS)


@pytest.mark.parametrize(
    ("name", "group", "needs"),
    [
        ("magnitude", "plain", "nothing"),
        ("wanda", "chosen", "a text"),
        ("apt", "compensated", "a text"),
        ("apt-joint", "compensated", "a text and gradients"),
        ("depth", "structures", "a text"),
        ("llm-pruner", "structures", "a text and gradients"),
        ("search", "structures", "a text and gradients"),
        ("spp", "recovery", "training"),
        ("distill", "recovery", "training, and the dense model"),
    ],
)
def test_a_method_finds_its_place_and_says_what_it_needs(name, group, needs):
    kind = {**METHODS, **STRUCTURED, **RECOVERIES, "search": Evolution}[name]
    assert group_of(kind).name == group and line_of(kind).needs == needs


class _Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tried, self.ids, self.linked, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        self.tried += [about[name] for name in ("data-try-method", "data-try") if name in about]
        self.ids += [about["id"]] if "id" in about else []
        self.linked += [about["href"][1:]] if about.get("href", "").startswith("#") else []
        self.open += [about] if tag == "details" and "open" in about else []


def test_everything_can_be_tried_and_every_link_leads_somewhere():
    seen = _Seen()
    seen.feed(str(methods_page()))
    components = [f"{slot}:{name}" for slot, kinds in COMPONENTS.items() for name in kinds]
    elsewhere = [*(f"recovery:{name}" for name in RECOVERIES), "search:search", "law:law", *components]
    assert sorted(seen.tried) == sorted([*METHODS, *STRUCTURED, *elsewhere])
    assert set(seen.linked) <= set(seen.ids) and len(seen.ids) == len(set(seen.ids))
    assert not seen.open, "a newcomer sees the five groups first"


def test_components_say_what_they_need_what_they_take_and_what_they_came_to(monkeypatch):
    outcome = measured.Outcome(setting="Wanda, 70%", perplexity=51.0, low=42.0, high=63.0, before=68.0)
    own = {"allocation=owl": (outcome,)}
    found = measured.Measured(conditions=("On words.", ""), outcomes={}, components=own)
    monkeypatch.setattr(measured, "load", lambda: found)
    names = ("allocation=owl", "allocation=loss", "allocation=alphapruning", "refinement=dsnot")
    page = str(methods_page())
    owl, loss, alpha, dsnot = (page.split(f"<code>{name}</code>")[1].split("</tr>")[0] for name in names)
    assert 'Wanda, 70%: from 68.0 × to <span title="95% interval 42.0 to 63.0">51.0 ×</span>' in owl
    assert "<td>a text and gradients</td>" in loss and "backwards" in loss
    assert "<td>the dense weights alone</td>" in alpha
    assert "<td>a text</td>" in dsnot and "<td>–</td>" in dsnot


def test_what_structures_take_and_what_loads_the_rest_are_their_own_words():
    depth, pruner = line_of(STRUCTURED["depth"]), line_of(STRUCTURED["llm-pruner"])
    assert "by perplexity one for each block" in depth.takes and "backwards" in pruner.takes
    assert "plain transformers loads the rest" in depth.removes
    assert "with middle and global this program alone" in pruner.removes
    page = str(methods_page())
    assert "faster at once" not in page and "smaller and faster" not in page


def test_speeds_that_could_not_be_told_are_said_so():
    told = measured.Outcome(setting="x", perplexity=2, low=1, high=3, size=0.8, timed=True, prefill=1.25)
    said = outcomes_of([told])
    assert "1.25 × tokens/s of a prompt, no measurable difference in written tokens/s" in said
    none = told.model_copy(update={"prefill": None})
    assert "80% of the bytes, no measurable difference in tokens/s" in outcomes_of([none])
    assert "tokens/s" not in outcomes_of([none.model_copy(update={"timed": None})])


@pytest.fixture
def page():
    """(the parts of the Explore tab, a studio with one finished run)."""
    store = FakeStore(checkpoint=Path("/nowhere"))
    store.put(RUN, some_events())
    with gr.Blocks():
        explore = explore_tab.lay_out()
    return explore, Studio(store, FakeLauncher(store), FakeReader(), {})


@pytest.mark.parametrize("what", ["allocation:owl", "refinement:dsnot", "mask:alps", "reconstruction:exact"])
def test_a_component_is_put_into_wanda(page, what):
    explore, studio = page
    slot, name = what.split(":")
    shown = methods_tab.tried(explore, studio, what, {})
    values = {path: shown[control] for path, control in explore.chooser.controls.items() if control in shown}
    assert values["method.name"] == values["method.method"] == "wanda" and values[f"method.{slot}"] == name
    assert ("pattern.kind" in values) == (slot == "allocation"), "N:M leaves an allocation nothing to decide"
    assert values.get("pattern.kind", "unstructured") == "unstructured" and "model" not in values


def test_training_is_tried_below_what_can_be_trained_and_else_says_what_to_do(page):
    explore, studio = page
    shown = methods_tab.tried(explore, studio, "recovery:distill", {"run": RUN})
    assert shown[explore.recovering.controls["method"]] == "distill"
    assert shown[explore.recovering.section] == gr.update(open=True) and shown[explore.result.note] == ""
    none = methods_tab.tried(explore, studio, "recovery:distill", {})
    assert "prune a model, or open one" in none[explore.result.note]
    law = methods_tab.tried(explore, studio, "law:law", {"run": RUN})
    assert "train what a run pruned" in law[explore.result.note]
    searching = methods_tab.tried(explore, studio, "search:search", {})
    assert searching[explore.searching.section] == gr.update(open=True)


@pytest.mark.parametrize("what", ["", "recovery:magic", "allocation:magic", "magic:owl", "recovery"])
def test_what_is_not_there_cannot_be_tried(page, what):
    assert methods_tab.tried(*page, what, {"run": RUN}) == {}


def test_the_map_says_what_was_measured_with_its_conditions_and_a_dash_where_nothing_was(monkeypatch):
    outcome = measured.Outcome(
        setting="25% of the blocks", perplexity=2.5, low=2.25, high=2.75, size=0.8, speed=1.25
    )
    half = measured.Outcome(setting="50%", perplexity=1.5, low=1.4, high=1.6)
    trained = half.model_copy(update={"before": 4.0})
    found = measured.Measured(
        conditions=("On words.", "On a desk."),
        outcomes={"depth": (outcome,), "wanda": (half,), "spp": (trained,)},
    )
    monkeypatch.setattr(measured, "load", lambda: found)
    page = str(methods_page())
    assert '<span title="95% interval 2.25 to 2.75">2.50 ×</span>; 80% of the bytes, 1.25 × tokens/s' in page
    assert page.count("On words. On a desk.") == 1, "under the structures"
    assert page.count('<p class="quiet measured">On words.</p>') == 2, "under the masks and the training"
    assert '50%: from 4.00 × to <span title="95% interval 1.40 to 1.60">1.50 ×</span>' in page
    assert "<td>–</td>" in page


def test_every_method_that_was_measured_is_one_of_the_map():
    everything = {*METHODS, *STRUCTURED, *RECOVERIES, Evolution.name}
    assert measured.load().outcomes.keys() <= everything
    assert {"apt", "wanda", "sparsegpt", "alps"} <= measured.load().outcomes.keys()
    components = {f"{slot}={name}" for slot, kinds in COMPONENTS.items() for name in kinds}
    assert {"allocation=owl", "refinement=dsnot"} <= measured.load().components.keys() <= components
    assert measured.load().conditions[1].endswith("2 cores, 24 GB."), "the machine is named"
