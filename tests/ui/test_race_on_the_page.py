"""The race on the page: queued by one press, watched until the last has ended, told in words and numbers."""

import csv
import io

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events

from apt_core import events as ev
from apt_core.base.errors import DiskFull
from apt_core.plots import race as race_plot
from apt_core.plots.chart import RunSet
from apt_core.ui import lately as lately_module
from apt_core.ui import server
from apt_core.ui.forms import checks, choose
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.views.chart_payload import chart_note, chart_table
from apt_core.ui.views.run_view import ViewState, live, parts, shows

RUN, RIVAL, LAST = "20261124-100000-abcd", "20261124-100001-abcd", "20261124-100002-abcd"


@pytest.fixture
def store(tmp_path):
    return FakeStore(checkpoint=tmp_path)


@pytest.fixture
def studio(store, monkeypatch):
    monkeypatch.setattr(lately_module, "LATELY_SECONDS", -1)  # every look is a fresh one
    return Studio(store, FakeLauncher(store), FakeReader(), {})


@pytest.fixture(scope="module")
def explore():
    with gr.Blocks():
        return explore_tab.lay_out()


def values(explore, **changes):
    shown = {path: component.value for path, component in explore.chooser.controls.items()}
    return shown | {"model": "tiny-random-llama"} | changes


def put(store, run_id, method, upto, **changes):
    store.put(run_id, some_events(upto, **changes), a_recipe(method=method))


# ---- choosing


def test_one_press_queues_a_run_for_every_method_and_shows_the_first(explore, studio, store):
    shown = explore_tab.start(explore, studio, values(explore, rivals=["wanda", "sparsegpt", "apt"]))
    methods = [recipe.method.name for recipe in store.recipes.values()]
    assert methods == ["apt", "sparsegpt", "wanda"]
    assert shown[explore.seen]["run"] == next(iter(store.recipes))
    assert "Race of three methods" in shown[explore.result.parts["race-chart"]]["title"]


def test_the_card_says_how_many_runs_and_how_long(explore, studio):
    checked = choose.check(
        explore.chooser, studio, values(explore, rivals=["wanda", "sparsegpt", "magnitude"])
    )
    assert "4 runs, one after another: about " in checked[explore.chooser.preflight]
    assert "--race sparsegpt,wanda,magnitude" in checked[explore.chooser.command]
    alone = choose.check(explore.chooser, studio, values(explore))
    assert "one after another" not in alone[explore.chooser.preflight]
    assert "--race" not in alone[explore.chooser.command]


@pytest.mark.parametrize(
    ("rivals", "sentence"), [(["apple"], "There is no method"), ("wanda", "from the list")]
)
def test_rivals_that_are_none_start_nothing(explore, studio, store, rivals, sentence):
    shown = explore_tab.start(explore, studio, values(explore, rivals=rivals))
    assert sentence in shown[explore.chooser.preflight] and not store.logs
    assert shown[explore.chooser.prune]["interactive"] is False


def test_a_rival_that_cannot_run_here_refuses_the_race_by_name(explore, studio, store, monkeypatch):
    whole = checks.estimate

    def hungry(recipe, facts, rates, *policy):
        refusal = "This needs too much memory." if recipe.method.name == "wanda" else None
        return whole(recipe, facts, rates).model_copy(update={"refusal": refusal})

    monkeypatch.setattr(checks, "estimate", hungry)
    shown = explore_tab.start(explore, studio, values(explore, rivals=["wanda"]))
    assert "Wanda cannot take part: This needs too much memory." in shown[explore.chooser.preflight]
    assert not store.logs


def test_a_race_is_one_study_and_a_refusal_of_it_is_a_sentence(explore, studio, store, monkeypatch):
    explore_tab.start(explore, studio, values(explore, rivals=["wanda"]))
    assert len(set(store.studies.values())) == 1 and list(store.studies) == list(store.logs)
    explore_tab.start(explore, studio, values(explore))
    assert len(store.studies) == 2 < len(store.logs), "a run alone belongs to none"

    def full(kind, jobs, token=None, owner=""):
        raise DiskFull("The disk is full; free some space.")

    monkeypatch.setattr(studio.launcher, "submit_study", full)
    shown = explore_tab.start(explore, studio, values(explore, rivals=["wanda", "sparsegpt"]))
    assert "The disk is full" in shown[explore.chooser.preflight] and len(store.logs) == 3


def test_the_choices_of_a_run_in_a_race_come_back_without_its_rivals(explore, studio, store):
    put(store, RUN, "apt", "finished")
    put(store, RIVAL, "wanda", "finished")
    updates = explore_tab.choose_the_same(explore, studio, ViewState(RUN))
    assert updates[explore.chooser.controls["rivals"]] == []


# ---- watching


def test_a_tab_stays_subscribed_until_the_last_of_its_race_has_ended(studio, store):
    put(store, RUN, "apt", "finished")
    put(store, RIVAL, "wanda", "layers")
    put(store, LAST, "magnitude", "queued")
    seen = shows(studio, store.get(RUN))
    assert seen["live"] is True and shows(studio, store.get(RIVAL))["live"] is True

    def look():
        nonlocal seen
        news = live(studio, store.get(RUN), ViewState.parse(seen))
        seen = news["seen"]
        return news

    assert look()["parts"] == {} and seen["live"] is True  # nothing has moved
    put(store, RIVAL, "wanda", "finished", pruned=44.0)
    news = look()
    assert set(news["parts"]) == {"race-chart", "perplexity-chart", "standing-chart", "views"}
    assert "Wanda" in news["parts"]["perplexity-chart"]["table"] and seen["live"] is True
    put(store, LAST, "magnitude", "finished", pruned=99.0)
    news = look()
    assert news["parts"]["race-chart"]["title"] == "APT leads: 30.0 against 44.0 (Wanda)"
    assert seen["live"] is False and look()["parts"] == {}


def test_a_layer_within_a_block_is_no_news_of_the_race(studio, store):
    put(store, RUN, "apt", "finished")
    put(store, RIVAL, "wanda", "layers")
    layers = store.logs[RIVAL]
    store.logs[RIVAL] = layers[:-2]
    before = shows(studio, store.get(RUN))["charts"]
    store.logs[RIVAL] = layers[:-1]
    assert shows(studio, store.get(RUN))["charts"] == before
    store.logs[RIVAL] = layers
    assert shows(studio, store.get(RUN))["charts"] != before


def test_a_rival_that_fails_leaves_and_the_race_goes_away_with_the_last(studio, store):
    put(store, RUN, "apt", "finished")
    put(store, RIVAL, "wanda", "layers")
    seen = ViewState.parse(shows(studio, store.get(RUN)))
    store.logs[RIVAL].append(ev.Failed(reason="x", message="Gone."))
    news = live(studio, store.get(RUN), seen)
    assert news["parts"]["race-chart"] is None
    assert news["seen"]["live"] is False and "race" not in news["seen"]["charts"]


def test_a_run_alone_has_no_race_and_is_not_asked_about_for_ever(studio, store):
    put(store, RUN, "apt", "finished")
    assert shows(studio, store.get(RUN))["live"] is False
    assert parts(studio, store.get(RUN))["race-chart"] is None


def test_a_visitor_comes_back_to_a_run_whose_rivals_still_go_on(explore, studio, store):
    put(store, RUN, "apt", "finished")
    put(store, RIVAL, "wanda", "queued")
    assert explore_tab.wanted(studio, None, RUN) == RUN


def test_many_tabs_share_one_look_at_the_runs(studio, store, monkeypatch):
    monkeypatch.setattr(lately_module, "LATELY_SECONDS", 60)
    put(store, RUN, "apt", "finished")
    looks = []
    monkeypatch.setattr(store, "list", lambda limit, owners: looks.append(limit) or [])
    for _ in range(5):
        studio.lately()
    assert len(looks) == 1
    studio.submit([a_recipe(method="wanda")])
    studio.lately()
    assert len(looks) == 2


# ---- in words and numbers


def race_in(store, shown=RUN):
    return RunSet(store.get(shown), tuple(store.list()))


def race_table(runs):
    return chart_table(race_plot.table(runs))


def race_note(runs):
    return chart_note(race_plot.CHART, runs)


def test_the_table_has_a_link_and_a_dash_for_what_does_not_compare_yet(store):
    put(store, RUN, "apt", "finished")
    put(store, RIVAL, "wanda", "layers")
    table = str(race_table(race_in(store)))
    rows = table.split("<tr ")[1:]
    assert f'href="?run={RIVAL}"' in rows[1]
    assert "30.0" in rows[0] and "1.50 ×" in rows[0] and "2.0 s" in rows[0] and "(shown)" in rows[0]
    assert "running" in rows[1] and rows[1].count("–") == 4


def test_the_note_links_the_rivals_and_says_how_fair_it_is(store):
    put(store, RUN, "apt", "finished")
    put(store, RIVAL, "wanda", "layers")
    note = str(race_note(race_in(store)))
    assert f"?run={RIVAL}" in note and f"?run={RUN}" not in note
    assert "the same windows of the same text" in note and "same yardstick" not in note
    put(store, LAST, {"name": "apt-joint", "dense_share": 0.3}, "queued")
    assert "APT joint" in str(race_note(race_in(store))) and "same yardstick" in str(
        race_note(race_in(store))
    )


def test_the_race_as_csv(studio, store):
    put(store, RUN, "apt", "finished")
    put(store, RIVAL, "wanda", "layers")
    rows = list(csv.DictReader(io.StringIO(server.answer(studio, RUN, "race.csv").body.decode())))
    assert [row["method"] for row in rows] == ["APT"] * 2 + ["Wanda"] * 2
    assert float(rows[0]["mean_relative_error"]) == pytest.approx(0.02) and rows[2]["perplexity"] == ""
    store.delete(RUN)
    put(store, RUN, "apt", "finished")
    store.logs.pop(RIVAL)
    assert server.answer(studio, RUN, "race.csv").status_code == 404
