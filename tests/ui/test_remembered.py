"""The choices of the last run come back in the same browser: checked like any others, and never more than a job."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events

from apt_core.base.paths import ASSETS
from apt_core.base.policy import HostPolicy
from apt_core.jobs import Prune
from apt_core.ui.forms import remembered, uploads
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import runs
from apt_core.ui.views.keys_sheet import KEYS, keys_sheet

RUN = "20261124-100000-abcd"
PRIVATE, PUBLIC = HostPolicy(), HostPolicy(public=True)


@pytest.fixture
def studio():
    store = FakeStore()
    return Studio(store, FakeLauncher(store), FakeReader(), {})


@pytest.fixture(scope="module")
def explore():
    with gr.Blocks():
        return explore_tab.lay_out()


def first(explore):
    return {path: getattr(control, "value", None) for path, control in explore.chooser.controls.items()}


def test_what_is_kept_is_the_same_job_again(explore):
    job = a_recipe(
        method={"name": "apt", "mask": {"name": "apt", "block_size": 64}},
        pattern={"kind": "n:m", "keep": 4, "of": 8},
        seed=3,
        calibration={"samples": 5, "length": 64},
        device="cpu",
    )
    kept = json.loads(json.dumps(remembered.kept(job, PRIVATE)))
    assert remembered.recalled(Prune, kept, first(explore), PRIVATE) == job


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "",
        {},
        [],
        "x" * 10_000,
        {"model": "tiny-llama", "method.name": "no-such-method"},
        {"pattern.kind": "unstructured", "pattern.sparsity": "NaN"},
        {"method.mask.apt.block_size": [1, 2]},
        {"calibration.text": "/etc/passwd"},
    ],
)
def test_what_is_no_job_is_not_recalled(explore, kept):
    assert remembered.recalled(Prune, kept, first(explore), PRIVATE) is None


def test_what_another_version_kept_is_read_as_far_as_it_is_known(explore):
    kept = {"model": "tiny-llama", "colour": "green", "calibration.samples": 7}
    job = remembered.recalled(Prune, kept, first(explore), PRIVATE)
    assert (job.model.id, job.calibration.samples) == ("tiny-llama", 7)


def test_on_a_public_host_no_brought_text_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path))
    source = tmp_path / "diary.txt"
    source.write_text("Dear diary, today was like any other day. " * 50)
    text = uploads.text_for(uploads.keep(source))
    job = a_recipe(calibration={"text": text})
    assert remembered.kept(job, PRIVATE)["calibration.text"].startswith(uploads.PREFIX)
    assert "calibration.text" not in remembered.kept(job, PUBLIC)
    assert "diary" not in json.dumps(remembered.kept(job, PUBLIC))
    assert str(tmp_path) not in json.dumps(remembered.kept(job, PRIVATE)), "no path of this machine"


def test_prune_keeps_the_choices_and_a_later_visit_proposes_them(explore, studio):
    values = first(explore) | {"model": "tiny-random-llama", "calibration.samples": 9}
    for path in ("calibration.text", "evaluation.text"):
        values[path] = "wiki-sample"
    started = explore_tab.start(explore, studio, values)
    kept = started[explore.choices]
    assert kept["calibration.samples"] == 9 and started[explore.forget]["visible"] is True
    landed = explore_tab.recall(explore, studio, "", kept)
    controls = explore.chooser.controls
    assert (landed[controls["model"]], landed[controls["calibration.samples"]]) == ("tiny-random-llama", 9)
    assert landed[explore.forget]["visible"] is True and set(landed) <= set(explore.chosen)


def test_a_link_goes_before_what_is_remembered(explore, studio):
    studio.store.put(RUN, some_events("layers"))
    kept = remembered.kept(a_recipe(model={"id": "tiny-llama"}), PRIVATE)
    landed = explore_tab.recall(explore, studio, RUN, kept)
    assert landed[explore.chooser.controls["model"]] == "tiny-random-llama"


def test_forgetting_brings_back_what_is_proposed_to_everybody(explore):
    forgotten = explore_tab.forget(explore)
    assert forgotten[explore.choices] == {} and forgotten[explore.forget]["visible"] is False
    for path, control in explore.chooser.controls.items():
        assert forgotten[control] == first(explore)[path]
    assert set(forgotten) <= set(explore.chosen)


def test_the_order_of_the_list_is_remembered_and_reset():
    with gr.Blocks():
        tab = runs.lay_out(runs.lay_out_order())
    assert runs.recall("perplexity") == "perplexity"
    for wrong in ("colour", None, 3, ["newest"]):
        assert runs.recall(wrong) == "newest"
    shown = runs.reset(tab)
    assert shown[tab.find["sort"]] == "newest" and shown[tab.order] == "" and shown[tab.find["search"]] == ""


def test_nothing_keeps_a_prompt():
    """Whatever stays in the browser is named here; a typed prompt stays as long as its tab (sessionStorage)."""
    sources = [*Path(explore_tab.__file__).parent.glob("*.py"), *(ASSETS / "ui").glob("*.js")]
    text = "\n".join(path.read_text("utf-8") for path in sources)
    stored = set(re.findall(r'storage_key="([^"]+)"|(?:setItem\(|KEPT = )"([^"]+)"', text))
    assert {"".join(each) for each in stored} <= {
        "apt-studio-run",
        "apt-studio-choices",
        "apt-studio-order",
        "apt-studio-tour",
        "apt-studio-theme",
        "apt-studio-visitor",
        "apt-studio-comfort",
    }


def test_every_key_of_the_sheet_has_an_action_and_every_action_is_on_the_sheet():
    script = (ASSETS / "ui" / "comfort.js").read_text("utf-8")
    table = script[script.index("const KEYS = {") :]
    actions = re.findall(r'^    "?([^\s":]+)"?: ', table[: table.index("};")], re.M)
    assert set(actions) == set(KEYS) - {"1 to 9", "Escape"} and len(actions) >= 8
    for does in KEYS.values():
        assert does in keys_sheet()
