"""Comparing runs on the page: opened by ticks, by a race and by an address; its downloads; who may see what."""

import csv
import io
import json

import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events, stamped

from apt_core.base.errors import UnknownRun
from apt_core.base.policy import HostPolicy
from apt_core.plots import race as race_plot
from apt_core.plots.chart import RunSet
from apt_core.reports import samples
from apt_core.ui import page, server
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import compare as compare_tab
from apt_core.ui.views.chart_payload import chart_note
from apt_core.ui.views.compare_view import ids_of
from apt_core.ui.views.runs_table import runs_table
from tests.studies.compared_runs import DENSE, FIRST, OTHER, THIRD, evaluated, events_of, job_of, worse


@pytest.fixture
def store():
    store = FakeStore()
    for run_id, by, method in ((FIRST, 0.1, "apt"), (OTHER, 0.3, "wanda")):
        store.put(
            run_id,
            events_of(evaluated("dense", DENSE), evaluated("pruned", worse(by))),
            job_of(method=method),
        )
    return store


@pytest.fixture
def studio(store):
    sample = samples.Sample(
        title="s", conditions="Recorded.", job=a_recipe(), events=tuple(stamped(some_events()))
    )
    return Studio(store, FakeLauncher(store), FakeReader(), {"sample-x": sample})


@pytest.fixture(scope="module")
def tab():
    with gr.Blocks():
        return compare_tab.lay_out(compare_tab.lay_out_address())


@pytest.fixture
def client(studio):
    with TestClient(Starlette(routes=server.routes(studio))) as client:
        yield client


def named(tab, updates):
    names = {component: name for name, component in tab.parts.items()} | {
        tab.note: "note",
        tab.compared: "compared",
        tab.law.section: "law",
        tab.law.said: "law-said",
    }
    return {names[component]: value for component, value in updates.items()}


def test_two_runs_side_by_side(tab, studio):
    shown = named(tab, compare_tab.show(tab, studio, [FIRST, OTHER]))
    assert shown["compared"] == {"runs": [FIRST, OTHER]} and shown["note"] == ""
    assert f'href="?run={OTHER}"' in shown["head"] and "2 runs compared" in shown["head"]
    assert "Wanda · 2:4 has 1.22 times the perplexity of APT · 2:4 on Wikipedia summaries" in shown["paired"]
    assert "<mark>wanda</mark>" in shown["fields"] and "<mark>apt</mark>" not in shown["fields"]
    assert "fields are the same" in shown["fields"]
    for name in ("perplexities", "curves", "difference"):
        payload = shown[f"compare-{name}-chart"]
        assert payload["csv"] == f"studio/compare/{name}.csv?runs={FIRST},{OTHER}" and payload["title"]
        assert payload["csv"] in shown["downloads"] and "<table" in payload["table"]
    for file in ("report.html", "report.md"):
        assert f'href="studio/compare/{file}?runs={FIRST},{OTHER}"' in shown["downloads"]
    assert json.dumps({name: value for name, value in shown.items()})

    assert "Quality against savings" in shown["outcomes"] and "1.11 × (1.11 to 1.11)" in shown["outcomes"]
    assert f'href="studio/compare/outcomes.csv?runs={FIRST},{OTHER}"' in shown["downloads"]


def test_another_run_can_stand_first_and_two_of_several_alone(tab, studio, store):
    shown = named(tab, compare_tab.show(tab, studio, [FIRST, OTHER]))
    assert (
        f'data-runs="{OTHER},{FIRST}"' in shown["paired"]
        and f'data-runs="{FIRST},{OTHER}"' not in shown["paired"]
    )
    store.put(THIRD, some_events("queued"), job_of(seed=3))
    shown = named(tab, compare_tab.show(tab, studio, [FIRST, OTHER, THIRD]))
    for runs in (f"{THIRD},{FIRST},{OTHER}", f"{FIRST},{OTHER}"):
        assert f'data-runs="{runs}"' in shown["paired"], runs
    assert f'data-runs="{FIRST},{THIRD}"' not in shown["paired"], "it has pruned no layer yet"
    assert {tab.parts["paired"], tab.parts["outcomes"]} <= set(tab.openers)


def test_all_of_a_study_are_compared_by_its_id(tab, studio, store):
    store.studies |= {FIRST: "20261124-090000-aaaa", OTHER: "20261124-090000-aaaa"}
    shown = named(tab, compare_tab.show(tab, studio, ["20261124-090000-aaaa"]))
    assert shown["compared"] == {"runs": [FIRST, OTHER]} and "2 runs compared" in shown["head"]


def test_of_three_runs_there_is_no_difference_chart(tab, studio, store):
    store.put(THIRD, some_events("queued"), job_of(seed=3))
    shown = named(tab, compare_tab.show(tab, studio, [FIRST, OTHER, THIRD]))
    assert shown["compare-difference-chart"] is None and "difference.csv" not in shown["downloads"]
    assert "Some of them still go on" in shown["head"] and "has measured nothing (yet)" in shown["paired"]


def test_a_recorded_sample_can_be_compared(tab, studio):
    shown = named(tab, compare_tab.show(tab, studio, [FIRST, "sample-x"]))
    assert "recorded sample" in shown["head"] and "kept no losses" in shown["paired"]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("", "at least two runs"),
        (FIRST, "at least two runs"),
        (f"{FIRST},20200101-000000-abcd", "There is no run 20200101-000000-abcd"),
        (f"{FIRST},<script>alert(1)</script>", "There is no run"),
        (f"{FIRST},../../etc/passwd", "There is no run"),
        (f"{FIRST},{FIRST}", "named twice"),
        (",".join(f"20200101-0000{place:02}-abcd" for place in range(40)), "at most 12 runs"),
    ],
)
def test_a_bad_address_is_one_sentence_and_leaves_what_was_shown(tab, studio, address, sentence):
    shown = named(tab, compare_tab.show(tab, studio, ids_of(address)))
    assert set(shown) == {"note"} and sentence in shown["note"]
    assert "<script>" not in shown["note"] and "runs list" not in shown["note"]


def test_what_a_model_is_called_is_escaped(tab, studio):
    """`some_events` calls it 'Tiny <b>Llama</b>'."""
    shown = named(tab, compare_tab.show(tab, studio, [FIRST, OTHER]))
    assert "<b>Llama" not in shown["head"] and "&lt;b&gt;Llama" in shown["head"]


def test_only_runs_that_the_visitor_may_see_are_compared(tab, studio, client, monkeypatch):
    """Rights are those of `Studio.record`, through which every run comes, also for a download."""
    seen = studio.record

    def hidden(run_id):
        if run_id == OTHER:
            raise UnknownRun(f"There is no run {run_id}.")
        return seen(run_id)

    monkeypatch.setattr(studio, "record", hidden)
    assert set(named(tab, compare_tab.show(tab, studio, [FIRST, OTHER]))) == {"note"}
    for file in ("compare.json", "fields.csv", "curves.csv"):
        answer = client.get(f"/studio/compare/{file}", params={"runs": f"{FIRST},{OTHER}"})
        assert answer.status_code == 404 and "Wanda" not in answer.text


def test_downloads_of_a_comparison(client):
    runs = {"runs": f"{FIRST},{OTHER}"}
    whole = client.get("/studio/compare/compare.json", params=runs)
    assert [one["run"] for one in whole.json()["runs"]] == [FIRST, OTHER]
    assert "attachment" in whole.headers["content-disposition"]

    def rows(file):
        answer = client.get(f"/studio/compare/{file}", params=runs)
        assert answer.status_code == 200, file
        return list(csv.DictReader(io.StringIO(answer.text)))

    fields = {row["field"]: row for row in rows("fields.csv")}
    assert fields["method"] == {"field": "method", "differs": "yes", FIRST: "apt", OTHER: "wanda"}
    assert fields["seed"]["differs"] == "no"
    assert float(rows("paired.csv")[0]["difference"]) == pytest.approx(0.2)
    assert [float(row["ratio"]) for row in rows("outcomes.csv")] == pytest.approx([1.108, 1.353], rel=1e-3)
    assert rows("tasks.csv") == []
    assert len(rows("curves.csv")) == 12 and len(rows("perplexities.csv")) == 4
    assert [row["ratio"] for row in rows("difference.csv")] == ["1.0"] * 6
    for file in ("nothing.csv", "layers.csv", "model.zip"):
        assert client.get(f"/studio/compare/{file}", params=runs).status_code == 404
    assert client.get("/studio/compare/curves.csv").status_code == 404


def test_no_folders_in_what_a_public_host_gives_out(store):
    texts = ["/home/somebody/private/mine.txt"]
    for run_id in (FIRST, OTHER):
        measured = (evaluated(side, DENSE, texts[0]) for side in ("dense", "pruned"))
        store.put(run_id, events_of(*measured), job_of(texts, seed=int(run_id[14])))
    studio = Studio(store, FakeLauncher(store), FakeReader(), {}, HostPolicy(public=True))
    with gr.Blocks():
        tab = compare_tab.lay_out(compare_tab.lay_out_address())
    shown = named(tab, compare_tab.show(tab, studio, [FIRST, OTHER]))
    assert "private" not in json.dumps(shown) and "mine.txt" in shown["paired"]
    for file in ("compare.json", "fields.csv", "paired.csv", "perplexities.csv"):
        assert "private" not in server.answer_of_set(studio, [FIRST, OTHER], file).body.decode(), file


def test_a_race_offers_to_compare_all(store):
    runs = RunSet(store.get(FIRST), (store.get(OTHER),))
    note = str(chart_note(race_plot.CHART, runs))
    assert f'href="?compare={FIRST},{OTHER}"' in note and f'data-runs="{FIRST},{OTHER}"' in note


def test_every_row_of_the_list_can_be_ticked(store):
    table = str(runs_table(store.list(), lambda record: "A <i>model</i>", 0.0))
    assert table.count('type="checkbox"') == 2 and f'data-pick="{FIRST}"' in table
    assert "<i>model" not in table


def test_a_click_that_asks_for_a_comparison_is_told_from_others():
    def click(data):
        return compare_tab.asked_for(gr.EventData(None, data))

    assert click({"action": "compare", "runs": f"{FIRST},{OTHER}"}) == [FIRST, OTHER]
    assert click({"action": "compare"}) == [] and click({"action": "open", "run": FIRST}) is None
    assert click(None) is None


def test_the_page_has_the_tab(studio):
    assert "compare-curves-chart" in json.dumps(page.build(studio).get_config_file(), default=str)
