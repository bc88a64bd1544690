"""What the page holds before its first event, and what is brought to whom afterwards."""

from __future__ import annotations

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events, stamped

from apt_core.reports import samples
from apt_core.ui import initial, page
from apt_core.ui.studio import Studio

RUN = "20261124-100000-abcd"


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def studio(store):
    sample = samples.Sample(
        title="s", conditions="Recorded on a day.", job=a_recipe(), events=tuple(stamped(some_events()))
    )
    return Studio(store, FakeLauncher(store), FakeReader(), {"sample-x": sample})


def shown(config, elem_id):
    """The properties of the component of this name in what the browser gets first."""
    return next(one["props"] for one in config["components"] if str(one["props"].get("elem_id")) == elem_id)


def loads(config):
    """The events that every visitor causes by arriving."""
    return [one for one in config["dependencies"] if any(name == "load" for _, name in one["targets"])]


def test_a_value_and_an_update_become_the_first_look():
    with gr.Blocks() as blocks:
        words, layer = gr.HTML(""), gr.Dropdown([], label="Layer")
        initial.write({words: "<p>Hello</p>", layer: gr.update(choices=["a", "b"], value="b", visible=False)})
    first = {one["id"]: one["props"] for one in blocks.get_config_file()["components"]}
    assert first[words._id]["value"] == "<p>Hello</p>"
    drawn = first[layer._id]
    assert (drawn["choices"], drawn["value"], drawn["visible"]) == ([("a", "a"), ("b", "b")], "b", False)
    assert layer.constructor_args["choices"] == ["a", "b"], "a session's copy is made of these"
    assert [one["name"] for one in first.values()] == ["html", "dropdown", "form"], "nothing else was drawn"


def test_what_is_skipped_stays_as_it_was():
    with gr.Blocks():
        words = gr.HTML("before")
        initial.write({words: gr.skip()})
    assert words.value == "before"


def test_a_component_in_place_of_an_update_is_refused():
    with gr.Blocks():
        words = gr.HTML("")
        with pytest.raises(TypeError, match=r"gr\.update"):
            initial.write({words: gr.HTML("drawn twice", render=False)})


def test_the_page_holds_the_sample_before_any_event(studio):
    config = page.build(studio).get_config_file()
    assert "Recorded sample" in shown(config, "headline")["value"]
    assert shown(config, "layers-chart")["value"]["figure"]
    seen = shown(config, "seen")["value"]
    assert seen["run"] == "sample-x" and seen["live"] is False and seen["link"] is False
    assert shown(config, "ask")["interactive"] is False


def test_arriving_moves_few_components(studio):
    """Each output of an event costs the browser a walk through the page, changed or not."""
    arriving = loads(page.build(studio).get_config_file())
    assert sum(len(one["outputs"]) for one in arriving) <= 12


def test_the_sample_looks_the_same_to_everybody(studio, store):
    before = studio.run_set(studio.first_sample)
    store.put(RUN, some_events("finished"))
    assert studio.run_set(studio.first_sample) == before
    assert {run.id for run in studio.run_set(studio.record(RUN)).others} >= {"sample-x"}
