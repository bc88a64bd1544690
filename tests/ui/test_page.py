"""The page as Blocks: what its handlers answer, with a fake store; and that it loads no torch."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import gradio as gr
import httpx
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events, stamped

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.base.policy import PRIVATE, STRICT, HostPolicy
from apt_core.events.asking import OtherAnswer
from apt_core.measure.questions import Answered, ReaderReady, Step
from apt_core.methods import COMPONENTS, METHODS, STRUCTURED, Method, make_method
from apt_core.models.catalogue import terms
from apt_core.plots import layer_error
from apt_core.plots.chart import RunSet
from apt_core.reports import samples
from apt_core.runs import processes
from apt_core.ui import lately as lately_module
from apt_core.ui import page
from apt_core.ui.door.connections import server_config
from apt_core.ui.door.limits import DoorLimits
from apt_core.ui.forms import checks, choose, options
from apt_core.ui.launch import forget_owners_token, launch, server_name, trust_the_proxy
from apt_core.ui.serving import served
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import read, runs
from apt_core.ui.views import run_view
from apt_core.ui.views.run_view import ViewState, live

ROOT = Path(__file__).resolve().parents[2]
RUN = "20261124-100000-abcd"


@pytest.fixture
def store(tmp_path):
    return FakeStore(checkpoint=tmp_path)


@pytest.fixture
def studio(store):
    sample = samples.Sample(
        title="s", conditions="Recorded on a day.", job=a_recipe(), events=tuple(stamped(some_events()))
    )
    return Studio(store, FakeLauncher(store), FakeReader(), {"sample-x": sample})


@pytest.fixture(scope="module")
def explore():
    with gr.Blocks():
        return explore_tab.lay_out()


def land(explore, studio, asked, last):
    """What a visitor sees who arrives: the result, and the choices that led to it."""
    wanted = explore_tab.wanted(studio, asked, last)
    return explore_tab.arrive(explore, studio, wanted) | explore_tab.recall(explore, studio, wanted, None)


def named(explore, updates):
    """Updates by the names of the components of the result column (and a few others)."""
    names = {component: name for name, component in explore.result.parts.items()}
    names |= {explore.result.note: "note", explore.result.stop: "stop run"}
    reading = explore.reading._asdict().items()
    names |= {component: name for name, component in reading if isinstance(component, gr.blocks.Block)}
    names |= {explore.seen: "seen", explore.folded: "folded", explore.last_run: "last_run"}
    names |= {explore.chooser.preflight: "preflight", explore.chooser.prune: "prune"}
    return {names.get(component, component): value for component, value in updates.items()}


def values(explore, **changes):
    """What the controls show, some of it changed; two underscores are a dot."""
    shown = {path: component.value for path, component in explore.chooser.controls.items()}
    return (
        shown
        | {"model": "tiny-random-llama"}
        | {path.replace("__", "."): new for path, new in changes.items()}
    )


# ---- arriving


def test_the_empty_page_shows_a_recorded_sample_and_keeps_its_address(explore, studio):
    shown = named(explore, land(explore, studio, None, None))
    assert "Recorded sample" in shown["headline"] and shown["seen"]["link"] is False
    assert shown["seen"]["live"] is False and "Prune a model yourself" in shown["folded"]


def test_a_link_opens_its_run(explore, studio, store):
    store.put(RUN, some_events("layers"))
    shown = named(explore, land(explore, studio, RUN, None))
    assert shown["seen"]["run"] == RUN and shown["seen"]["link"] is True and shown["seen"]["live"] is True
    assert shown["last_run"] == RUN and "data-fold" in shown["folded"]


def test_the_choices_follow_the_run_of_a_link(explore, studio, store):
    store.put(RUN, some_events("layers"))
    landed = land(explore, studio, RUN, None)
    job, controls = studio.record(RUN).job, explore.chooser.controls
    assert landed[controls["model"]] == job.model.id and landed[controls["pattern.name"]] == job.pattern.label
    assert controls["model"] not in land(explore, studio, None, None)
    assert set(landed) <= {*explore.outputs, *explore.chosen}


@pytest.mark.parametrize("wanted", ["20200101-000000-0000", "../../etc/passwd", "sample-none", "<script>"])
def test_an_unknown_run_is_a_sentence_and_the_sample(explore, studio, wanted):
    shown = named(explore, land(explore, studio, wanted, None))
    assert "Below is a recorded sample instead." in shown["note"] and "<script>" not in shown["note"]
    assert "Recorded sample" in shown["headline"]


def test_without_samples_the_page_still_opens(explore, store):
    studio = Studio(store, FakeLauncher(store), FakeReader(), {})
    assert named(explore, land(explore, studio, RUN, None))["note"]
    assert land(explore, studio, None, None) == {explore.result.note: ""}


def test_a_visitor_comes_back_to_the_run_that_still_goes_on(explore, studio, store):
    store.put(RUN, some_events("layers"))
    assert named(explore, land(explore, studio, None, RUN))["seen"]["run"] == RUN
    store.put(RUN, some_events("finished"))
    assert named(explore, land(explore, studio, None, RUN))["seen"]["run"] == "sample-x"
    assert named(explore, land(explore, studio, None, {"not": "a run"}))["seen"]["run"] == "sample-x"


# ---- watching


def test_a_look_sends_only_what_is_new(studio, store):
    store.put(RUN, some_events("layers"))
    seen = ViewState.of(RunSet(store.get(RUN)))
    assert set(live(studio, store.get(RUN), seen)["parts"]) == {"status"}  # the time that has passed
    store.logs[RUN].append(ev.Progress(stage="save", done=0, total=1))
    news = live(studio, store.get(RUN), seen)
    assert {"status", "figures"} <= set(news["parts"]) and "layers-chart" not in news["parts"]
    assert news["seen"]["seq"] > seen.seq and json.dumps(news)
    store.put(RUN, some_events("pruned"))
    both = live(studio, store.get(RUN), seen)["parts"]
    assert {"perplexity-chart", "sizes"} <= set(both) and "layers-chart" not in both


def test_a_tab_that_nobody_sees_hears_only_whether_the_run_turned(studio, store):
    store.put(RUN, some_events("layers"))
    seen = ViewState.of(RunSet(store.get(RUN)))
    store.put(RUN, [*some_events("layers"), ev.Progress(stage="save", done=0, total=1)])
    assert live(studio, store.get(RUN), seen, hidden=True) == {"turned": False}
    store.put(RUN, some_events("finished"))
    assert live(studio, store.get(RUN), seen, hidden=True) == {"turned": True}


def test_a_model_that_becomes_known_widens_the_empty_axis(studio, store):
    store.put(RUN, some_events("loaded")[:2])
    seen = ViewState.of(RunSet(store.get(RUN)))
    store.put(RUN, some_events("loaded"))
    assert "layers-chart" in live(studio, store.get(RUN), seen)["parts"]


def test_a_run_that_turned_is_opened_anew_with_its_buttons(explore, studio, store):
    store.put(RUN, some_events("layers"))
    seen = ViewState.of(RunSet(store.get(RUN)))
    store.put(RUN, some_events("finished"))
    assert live(studio, store.get(RUN), seen) == {"turned": True}
    shown = named(explore, explore_tab.reopen(explore, studio, seen))
    assert (
        shown["seen"]["live"] is False
        and shown["ask"]["interactive"] is True
        and "worse" in shown["headline"]
    )
    assert (
        shown["status"] == "" and "model.zip" in shown["downloads"] and shown["stop run"]["visible"] is False
    )


def test_a_run_that_was_deleted_elsewhere_is_a_sentence(explore, studio):
    shown = named(
        explore, explore_tab.reopen(explore, studio, ViewState("20200101-000000-0000", "running", 3))
    )
    assert shown["seen"] == {} and "There is no run" in shown["note"]


def test_many_tabs_share_one_drawing(studio, store, monkeypatch):
    store.put(RUN, some_events("layers", dense=21.5))
    record, drawn = store.get(RUN), []
    counted = replace(layer_error.CHART, figure=lambda runs: drawn.append(1) or layer_error.figure(runs))
    monkeypatch.setattr(run_view, "charts", lambda: (counted,))
    looks = [
        run_view.parts(studio, record.model_copy(update={"id": "20261124-100000-ffff"})) for _ in range(5)
    ]
    assert len(drawn) == 1 and all(look["layers-chart"] is looks[0]["layers-chart"] for look in looks)


def test_a_comparable_run_that_finished_later_is_in_the_next_look(studio, store, monkeypatch):
    monkeypatch.setattr(lately_module, "LATELY_SECONDS", -1)  # every look is a fresh one
    other = "20261124-090000-eeee"
    store.put(RUN, some_events())
    store.put(other, some_events("layers"), a_recipe(method="wanda"))

    def references():
        return run_view.parts(studio, store.get(RUN))["perplexity-chart"]["table"].count("Wanda")

    before = references()
    store.put(other, some_events(pruned=44.0), a_recipe(method="wanda"))
    assert references() > before


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        [],
        {},
        {"run": 7, "seq": "a"},
        {"run": None, "charts": 1.5},
        {"charts": "layers race==x ="},
        {"seq": "9" * 5000, "status": []},
    ],
)
def test_whatever_the_browser_says_it_shows_is_taken_with_care(value):
    seen = ViewState.parse(value)
    assert isinstance(seen.run, str) and isinstance(seen.status, str) and seen.seq == -1
    assert all(isinstance(name, str) for name in seen.looks())


# ---- pruning


def test_prune_queues_the_run_and_shows_it(explore, studio, store):
    shown = named(explore, explore_tab.start(explore, studio, values(explore)))
    run_id = shown["seen"]["run"]
    assert store.recipes[run_id].model.id == "tiny-random-llama" and "Waiting in line" in shown["status"]


@pytest.mark.parametrize(
    ("changes", "sentence", "about"),
    [
        ({"model": "no-such-model"}, "There is no model called", "model"),
        (
            {"pattern__kind": "n:m", "pattern__name": "custom", "pattern__keep": 1, "pattern__of": 3},
            "divisible by 3",
            "",
        ),
        ({"calibration__samples": 0}, "Calibration samples", "samples"),
        ({"calibration__text": "/etc/passwd"}, "There is no text", "text"),
        ({"pattern__kind": "unstructured", "pattern__sparsity": 100}, "from 0 to 99, not 100", "sparsity"),
        ({"calibration__length": 9000}, "was made for", ""),
    ],
)
def test_what_cannot_work_is_refused_in_words_and_starts_nothing(
    explore, studio, store, changes, sentence, about
):
    shown = named(explore, explore_tab.start(explore, studio, values(explore, **changes)))
    assert (f'data-about="{about}"' in shown["preflight"]) == bool(about)
    assert sentence in shown["preflight"] and shown["prune"]["interactive"] is False and not store.logs


def test_conditions_of_use_are_shown_and_wait_for_a_tick(fresh_cache, explore, studio, store):
    shown = named(explore, explore_tab.start(explore, studio, values(explore, model="gemma-3-270m")))
    assert 'href="https://ai.google.dev/gemma/terms"' in shown[explore.chooser.facts]
    assert "Gemma Terms of Use" in shown["preflight"] and not store.logs
    assert shown[explore.chooser.controls["terms"]]["visible"] and not shown["prune"]["interactive"]
    ticked = values(explore, model="gemma-3-270m", terms=True)
    shown = named(explore, explore_tab.start(explore, studio, ticked))
    assert len(store.logs) == 1 and terms.to_accept("gemma-3-270m") is None
    again = named(explore, choose.check(explore.chooser, studio, values(explore, model="gemma-3-270m")))
    assert again[explore.chooser.controls["terms"]]["visible"] is False and again["prune"]["interactive"]


def test_on_a_public_host_every_visitor_accepts_them(fresh_cache, explore, studio, store):
    terms.accept("gemma-3-270m")
    studio.policy = HostPolicy(public=True)
    shown = named(explore, choose.check(explore.chooser, studio, values(explore, model="gemma-3-270m")))
    assert shown[explore.chooser.controls["terms"]]["visible"] and not shown["prune"]["interactive"]


def broken(*_):
    raise RuntimeError("a fault of the program")


def test_without_network_the_button_is_off_and_the_reason_is_said(explore, studio, store, reachable):
    reachable.clear()
    shown = named(explore, explore_tab.start(explore, studio, values(explore, model="smollm2-135m")))
    assert "choose Tiny random Llama, it comes with the app." in shown["preflight"] and not store.logs
    assert shown["prune"]["interactive"] is False
    bundled = {"calibration__text": "wiki-sample", "evaluation__text": "wiki-sample"}
    shown = named(explore, explore_tab.start(explore, studio, values(explore, **bundled)))
    assert "comes with the app" in shown[explore.chooser.facts] and len(store.logs) == 1


def test_the_download_of_the_card_counts_the_text(explore, studio):
    shown = named(explore, choose.check(explore.chooser, studio, values(explore)))
    assert "4.87 MB" in shown["preflight"] and shown["prune"]["interactive"] is True


@pytest.mark.parametrize("place", ["facts_of", "estimate_of"])
def test_a_fault_is_a_sentence_and_never_a_dead_button(explore, studio, store, monkeypatch, place):
    monkeypatch.setattr(checks, place, broken)
    shown = named(explore, explore_tab.start(explore, studio, values(explore)))
    assert "could not be checked" in shown["preflight"] or "could not be started" in shown["preflight"]
    assert shown["prune"]["interactive"] is False and not store.logs
    assert (
        "could not be checked"
        in named(explore, choose.check(explore.chooser, studio, values(explore)))["preflight"]
    )


def test_stop_asks_the_store(explore, studio, store):
    store.put(RUN, some_events("layers"))
    store.statuses[RUN] = "stopping"
    shown = named(explore, explore_tab.stop(explore, studio, ViewState(RUN)))
    assert store.cancelled == [RUN] and "Stopping after this layer." in shown["status"]


def test_the_choices_of_a_run_can_be_used_again(explore, studio, store):
    store.put(RUN, some_events(), a_recipe(method={"name": "apt", "mask": "S"}, calibration={"samples": 5}))
    updates = explore_tab.choose_the_same(explore, studio, ViewState(RUN))
    controls = explore.chooser.controls
    assert (
        updates[controls["method.mask.apt.solution"]] == "S" and updates[controls["calibration.samples"]] == 5
    )
    assert updates[explore.chooser.preset] is None


# ---- reading


def ask(explore, studio, run=RUN, stop=None, others=(), **changes):
    given = {
        "prompt": "Why?",
        "max_tokens": 8,
        "temperature": 0.7,
        "top_p": 0.95,
        "seed": 0,
        "chat": True,
    } | changes
    updates = list(
        read.converse(explore.reading, studio, run, tuple(given.values()), stop or threading.Event(), others)
    )
    return [named(explore, update) for update in updates]


ANSWERED = Answered(
    dense="a b", pruned="a <c>", dense_tokens=2, pruned_tokens=2, first_divergence=1, seconds=1.0
)


def test_a_question_goes_from_loading_to_the_compared_answers(explore, studio, store):
    store.put(RUN, some_events())
    studio.reader.replies = (ReaderReady(seconds=1), Step(index=0, dense="a", pruned="a"), ANSWERED)
    said = ask(explore, studio)
    assert "Loading both models;" in said[0]["state"] and said[0]["ask"]["interactive"] is False
    assert "<c>" not in said[-2]["columns"] and "c&gt;" in said[-2]["columns"]
    assert "first difference at token 2" in said[-2]["state"]
    assert said[-1]["ask"]["interactive"] is True and said[-1]["stop"]["visible"] is False


OTHER = "20261124-100001-abcd"


def test_further_runs_are_offered_and_asked_beside_it(explore, studio, store):
    store.put(RUN, some_events())
    store.put(OTHER, some_events(), a_recipe(method="wanda"))
    store.put("20261124-100002-abcd", some_events(), a_recipe(model={"id": "tiny-llama"}))
    store.put("20261124-100003-abcd", some_events("layers"))
    more = explore_tab.open_run(explore, studio, studio.record(RUN), link=True)[explore.reading.more]
    assert [run for _, run in more["choices"]] == [OTHER] and more["visible"] and more["value"] == []
    answered = ANSWERED.model_copy(update={"others": (OtherAnswer(text="a", tokens=1, first_divergence=1),)})
    studio.reader.replies = (Step(index=0, dense="a", pruned="a", others=("a",)), answered)
    said = ask(explore, studio, others=(OTHER,))
    assert "Loading 3 models" in said[0]["state"] and said[0]["columns"].count("<section") == 3
    assert "Wanda" in said[-2]["columns"] and "APT" in said[-2]["columns"]
    assert studio.reader.asked[-1][::2] == (RUN, (OTHER,))


def test_what_is_chosen_is_never_trusted(explore, studio, store):
    store.put(RUN, some_events())
    assert read.runs_in(None) == read.runs_in("abc") == () and len(read.runs_in(["x" * 1000] * 50)) == 3
    [said] = ask(explore, studio, others=("../../etc",))
    assert "There is no run" in said["state"]


def test_the_weights_of_a_members_run_are_not_asked_beside_another_on_a_public_page(explore, studio, store):
    studio.policy = HostPolicy(public=True)
    store.put(RUN, some_events())
    store.put(OTHER, some_events(), a_recipe(method="wanda"))
    store.with_token = {OTHER}
    assert studio.askable_beside(studio.record(RUN)) == {}
    [said] = ask(explore, studio, others=(OTHER,))
    assert "only for accounts that accepted its terms" in said["state"] and not studio.reader.asked


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": "  "}, "Write a prompt first."),
        ({"prompt": None}, "Write a prompt first."),
        ({"prompt": "x" * 10_000_000}, "10,000,000 characters; use at most 20,000"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": None}, "temperature"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_bad_questions_are_one_sentence(explore, studio, store, changes, sentence):
    store.put(RUN, some_events())
    [said] = ask(explore, studio, **changes)
    assert sentence.lower() in said["state"].lower() and "bad" in said["state"] and len(said["state"]) < 400


def test_no_question_without_weights(explore, studio):
    [said] = ask(explore, studio, run="sample-x")
    assert "prune one first" in said["state"]


def test_a_failure_of_the_reader_is_a_sentence_and_frees_the_button(explore, studio, store):
    store.put(RUN, some_events())
    studio.reader.replies = (ev.Failed(reason="x", message="somebody else is asking"),)
    said = ask(explore, studio)
    assert "Somebody else is asking." in said[-2]["state"] and said[-1]["ask"]["interactive"] is True


def test_stop_before_the_first_word_ends_the_question(explore, studio, store):
    store.put(RUN, some_events())
    studio.reader.replies = (ReaderReady(seconds=1), ANSWERED)
    stop = threading.Event()
    stop.set()
    said = ask(explore, studio, stop=stop)
    assert "Stopped before the first word." in said[-2]["state"]
    assert studio.reader.stopped == 1, "its own answer, so that nobody waits behind it"


def test_a_model_that_has_to_be_fetched_again_says_how_far_it_is(explore, studio, store):
    store.put(RUN, some_events())
    coming = ev.Progress(stage="download", done=12_000_000, total=269_000_000, detail="owner/name")
    studio.reader.replies = (coming, ReaderReady(seconds=1), ANSWERED)
    states = [update["state"] for update in ask(explore, studio) if "state" in update]
    assert any("fetching 12.0 MB of 269 MB" in state for state in states)


def test_stop_is_said_once_however_many_words_still_come(explore, studio, store):
    store.put(RUN, some_events())
    stop = threading.Event()

    def replies():
        yield Step(index=0, dense="a", pruned="a")
        until = time.monotonic() + 5
        while not shown and time.monotonic() < until:
            time.sleep(0.01)
        stop.set()
        yield from (Step(index=index, dense="a", pruned="a") for index in (1, 2, 3))
        yield ANSWERED

    shown = []
    studio.reader.replies = replies()
    values = ("Why?", 8, 0.7, 0.95, 0, True)
    for update in read.converse(explore.reading, studio, RUN, values, stop):
        if "1 tokens" in str(named(explore, update).get("state")):
            shown.append(update)
    assert studio.reader.stopped == 1


# ---- runs


@pytest.mark.parametrize(
    "data", [None, "x", {}, {"action": "delete", "run": "../x"}, {"action": "eval", "run": RUN}]
)
def test_clicks_that_are_none_do_nothing(data):
    class Event:
        _data = data

    assert runs.asked_for(Event()) == ("", "")


# ---- options from the schema


def test_every_slot_and_every_option_of_every_component_has_a_labelled_control(explore):
    drawn = {
        path.removeprefix("method."): control
        for path, control in explore.chooser.controls.items()
        if path.startswith("method.") and path != "method.name"
    }
    assert list(drawn) == list(options.values_of(make_method("apt")))
    keys = set(drawn) - {"method"}
    wanted = set(Method.model_fields) | {
        f"{slot}.{name}.{option}"
        for slot, components in COMPONENTS.items()
        for name, component in components.items()
        for option in component.model_fields
    }
    wanted |= {
        f"structured.{name}.{option}" for name, kind in STRUCTURED.items() for option in kind.model_fields
    }
    assert keys == wanted and {"mask", "mask.apt.block_size", "dampening"} < keys
    for control in (drawn[key] for key in keys):
        assert control.label and control.info


@pytest.mark.parametrize("name", METHODS)
def test_controls_filled_with_a_method_ask_for_it_and_for_no_other(name):
    method = make_method(name)
    values = options.values_of(method)
    keys = list(values)
    assert make_method(name, options.collect(list(values.values()), keys, name)) == method
    changed = values | {"mask": "apt", "mask.apt.block_size": 64.0, "dampening": 0.5}
    found = make_method(name, options.collect(list(changed.values()), keys, name))
    assert found.mask.block_size == 64 and found.mask.name == "apt" and found.dampening == 0.5
    other = next(other for other in METHODS if other != name)
    assert options.collect(list(changed.values()), keys, other) == {}


def test_choosing_a_method_puts_its_composition_in_unless_it_came_with_one():
    keys = list(options.values_of(make_method("apt")))
    put = dict(zip(keys, options._composition("apt-joint", "apt"), strict=True))
    assert put["method"] == "apt-joint" and put["allocation"] == "loss" and put["mask.admm.steps"] == 25
    assert options._composition("apt-joint", "apt-joint") == gr.skip() == options._composition("<b>", "apt")


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"enum": ["a", "b"], "default": "a"}, gr.Dropdown),
        ({"type": "boolean", "default": True}, gr.Checkbox),
        ({"type": "integer", "default": 3, "minimum": 1, "maximum": 9}, gr.Number),
        ({"type": "number", "default": 0.0, "exclusiveMinimum": 0}, gr.Number),
        ({"type": "string", "default": "x"}, gr.Textbox),
    ],
)
def test_a_control_fits_its_schema(schema, kind):
    with gr.Blocks():
        control = options.control("an_option", schema)
    assert isinstance(control, kind) and control.label == "An option" and control.value == schema["default"]


# ---- how it is served


def test_the_page_is_served_closed(studio):
    options = page.launch_options(studio)
    assert options["run_history"] is False and options["enable_monitoring"] is False
    assert options["show_error"] is False and options["mcp_server"] is False
    assert options["max_file_size"] == "10mb" and options["allowed_paths"] == []
    assert options["ssr_mode"] is False
    assert server_name(PRIVATE) == "127.0.0.1" and server_name(STRICT) == "0.0.0.0"


def test_a_public_host_forgets_the_owners_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_owner")
    monkeypatch.setenv("APT_ADMIN_TOKEN", "a-long-and-random-token")
    forget_owners_token()
    assert not {"HF_TOKEN", "APT_ADMIN_TOKEN"} & processes.heavy_environment().keys()


def test_the_address_that_a_proxy_passes_on_is_believed_where_it_is_known(monkeypatch):
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    assert server_config(None, DoorLimits()).forwarded_allow_ips.startswith("127.0.0.1")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    trust_the_proxy()
    assert server_config(None, DoorLimits()).forwarded_allow_ips == "10.0.0.1", "what is stated stays"
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    trust_the_proxy()
    assert server_config(None, DoorLimits()).forwarded_allow_ips == "*"
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")


@pytest.fixture
def address(studio):
    with served(studio, "127.0.0.1", 0) as address:
        yield address.rstrip("/")


def test_the_real_server_keeps_strangers_out(address):
    assert httpx.get(address + "/").status_code == 200
    assert httpx.get(address + "/", headers={"Host": "evil.example"}).status_code == 421
    answer = httpx.get(address + "/config", headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    evil = {"Origin": "http://evil.example"}
    assert httpx.post(address + "/gradio_api/queue/join", headers=evil, json={}).status_code == 403
    long = httpx.post(address + "/gradio_api/queue/join", content=b" " * 2_000_000)
    assert long.status_code == 413 and "1" in long.text
    assert len(answer.headers["X-Request-ID"]) == 16 == len(long.headers["X-Request-ID"])
    assert httpx.get(address + "/docs").status_code == 404 == httpx.get(address + "/openapi.json").status_code


def test_a_taken_port_is_one_sentence(address, fresh_cache):
    port = int(address.rpartition(":")[2])
    with pytest.raises(BadInput, match="Choose another with --port"):
        launch(port)


def test_every_event_is_private_and_queued(studio):
    demo = page.build(studio)
    try:
        assert demo.api_open is False
        for event in demo.fns.values():
            assert event.api_visibility == "private", event.name
            assert event.queue is not False or event.js, event.name
    finally:
        demo.close()


def test_an_idle_page_looks_a_hundred_times_a_second_not_a_thousand(studio):
    """Gradio's attribute, which a later version may call otherwise: then the page would spin again."""
    with gr.Blocks(analytics_enabled=False) as plain:
        pass
    demo = page.build(studio)
    try:
        assert plain._queue.sleep_when_free < demo._queue.sleep_when_free == 0.01
    finally:
        demo.close()


def test_the_page_loads_no_torch(fresh_cache):
    code = (
        "import sys\n"
        "from apt_core.ui.page import build, launch_options\n"
        "from apt_core.base.policy import HostPolicy\n"
        "from apt_core.ui.studio import open_studio\n"
        "studio = open_studio(HostPolicy()); build(studio); launch_options(studio); studio.close()\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'accelerate') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
