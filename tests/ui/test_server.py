"""Downloads by run id, and nothing else: no path from outside, no traversal, no other methods."""

import csv
import io
import json
import zipfile

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_record, some_events, stamped

from apt_core.reports import samples
from apt_core.ui import server
from apt_core.ui.handed_out import Handouts
from apt_core.ui.studio import Studio

RUN = "20261124-100000-abcd"
STEM = f"tiny-b-llama-b-apt-2-4-{RUN}"


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 9000)
    (folder / "config.json").write_text("{}")
    (folder / "link").symlink_to("/etc/hostname")
    return folder


@pytest.fixture
def store(checkpoint):
    store = FakeStore(checkpoint)
    store.put(RUN, some_events())
    return store


@pytest.fixture
def studio(store):
    sample = samples.Sample(
        title="s", conditions="Recorded.", job=a_record().job, events=tuple(stamped(some_events()))
    )
    return Studio(store, FakeLauncher(store), FakeReader(), {"sample-x": sample})


@pytest.fixture
def client(studio):
    with TestClient(Starlette(routes=server.routes(studio))) as client:
        yield client


def test_results_as_json_are_the_summary_of_the_run(client):
    answer = client.get(f"/studio/runs/{RUN}/results.json")
    assert answer.json()["perplexity"] == {"dense": 20.0, "pruned": 30.0, "protocol": "test-1"}
    assert "attachment" in answer.headers["content-disposition"]


def test_layers_as_csv(client):
    rows = list(csv.DictReader(io.StringIO(client.get(f"/studio/runs/{RUN}/layers.csv").text)))
    assert len(rows) == 6 and rows[5]["layer"] == "mlp.down_proj" and float(rows[5]["relative_error"]) == 0.06
    sides = list(csv.DictReader(io.StringIO(client.get(f"/studio/runs/{RUN}/perplexity.csv").text)))
    assert [side["side"] for side in sides] == ["dense", "pruned"]


def test_the_model_comes_as_a_whole_zip(client, checkpoint):
    answer = client.get(f"/studio/runs/{RUN}/model.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        inside = ("README.md", "config.json", "model.safetensors")
        assert sorted(archive.namelist()) == [f"{STEM}/{name}" for name in inside]
        assert archive.read(f"{STEM}/README.md").startswith(b"---\nlibrary_name: transformers")
        assert archive.read(f"{STEM}/model.safetensors") == (checkpoint / "model.safetensors").read_bytes()


def test_samples_have_numbers_but_no_weights(client):
    assert json.loads(client.get("/studio/runs/sample-x/results.json").text)["run"] == "sample-x"
    assert client.get("/studio/runs/sample-x/model.zip").status_code == 404


def test_tabs_can_ask_what_is_new(client):
    answer = client.get(f"/studio/runs/{RUN}/live", params={"run": RUN, "status": "running", "seq": 3})
    assert answer.json() == {"turned": True} and answer.headers["cache-control"] == "no-store"
    same = client.get(
        f"/studio/runs/{RUN}/live", params={"run": RUN, "status": "finished", "seq": "nonsense"}
    ).json()
    assert same["seen"]["seq"] > 5 and "headline" in same["parts"]
    hidden = {"run": RUN, "status": "finished", "hidden": "true"}
    assert client.get(f"/studio/runs/{RUN}/live", params=hidden).json() == {"turned": False}
    assert client.get("/studio/runs/20200101-000000-0000/live").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        f"/studio/runs/{RUN}/recipe.json",
        f"/studio/runs/{RUN}/../../../etc/passwd",
        f"/studio/runs/{RUN}/..%2f..%2fruns.db",
        "/studio/runs/..%2f..%2fetc/results.json",
        "/studio/runs/20200101-000000-0000/results.json",
        "/studio/runs/sample-none/results.json",
        f"/studio/runs/{RUN}/no-such-chart.csv",
        f"/studio/runs/{RUN}/race.csv",
        "/studio/page.py",
        "/studio/..%2fapp.py",
    ],
)
def test_anything_else_is_not_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and "Traceback" not in answer.text


def test_what_was_made_for_a_visitor_is_found_by_its_address_alone(client, studio):
    address = studio.handouts.put("gap.csv", "text/csv", "a,b\n")
    answer = client.get(f"/{address}")
    assert (
        answer.text == "a,b\n" and answer.headers["content-disposition"] == 'attachment; filename="gap.csv"'
    )
    key = address.split("/")[2]
    assert len(key) > 20
    for path in (f"/studio/answers/{key}/other.csv", "/studio/answers/none/gap.csv"):
        assert client.get(path).status_code == 404


def test_files_for_visitors_are_bounded():
    handouts = Handouts(most_files=3, most_characters=10)
    keys = [handouts.put(f"{place}.csv", "text/csv", "xx").split("/")[2] for place in range(5)]
    assert [handouts.get(key) is not None for key in keys] == [False, False, True, True, True]
    long = handouts.put("long.csv", "text/csv", "x" * 50).split("/")[2]
    assert handouts.get(long) and not any(map(handouts.get, keys))


def test_only_reading(client):
    assert client.post(f"/studio/runs/{RUN}/results.json").status_code == 405
    assert client.delete(f"/studio/runs/{RUN}/results.json").status_code == 405


def test_our_own_assets(client):
    script = client.get("/studio/studio.js")
    assert "window.aptStudio" in script.text and "immutable" in script.headers["cache-control"]
    assert "asked-prompt" in client.get("/studio/asking.js").text
    assert "plotly.js" in client.get("/studio/plotly.js").text[:200]
    assert "driver-popover" in client.get("/studio/driver.js").text
    styles = client.get("/studio/studio.css").text
    assert "--apt-accent" in styles and ".options-mask-apt" in styles


def test_no_asset_names_another_host():
    for path in (*server.SCRIPTS, server.ASKING_SCRIPT, *server.STYLES):
        text = path.read_text("utf-8")
        assert "http://" not in text and "https://" not in text and "@import" not in text


@pytest.mark.parametrize(("what", "starts"), [("report.html", "<!DOCTYPE html>"), ("report.md", "# Tiny")])
def test_reports_are_files_that_say_what_they_are_of(client, what, starts):
    answer = client.get(f"/studio/runs/{RUN}/{what}")
    assert answer.text.startswith(starts)
    assert answer.headers["content-disposition"] == f'attachment; filename="{STEM}-{what}"'
    assert client.get(f"/studio/runs/sample-x/{what}").status_code == 200


@pytest.mark.parametrize("what", ["report.html", "report.md"])
def test_there_is_no_report_of_a_run_without_numbers(client, store, what):
    store.put("20261124-100001-abcd", some_events("queued"))
    assert client.get(f"/studio/runs/20261124-100001-abcd/{what}").status_code == 404


OTHER = "20261124-100005-abcd"


@pytest.mark.parametrize(
    ("what", "starts"), [("report.html", "<!DOCTYPE html>"), ("report.md", "# Two runs of")]
)
def test_a_comparison_has_its_report(client, store, what, starts):
    store.put(OTHER, some_events(pruned=40.0))
    answer = client.get(f"/studio/compare/{what}", params={"runs": f"{RUN},{OTHER}"})
    assert answer.text.startswith(starts) and "Side by side" in answer.text
    assert f'filename="tiny-b-llama-b-2-runs-{RUN}-{what}"' in answer.headers["content-disposition"]
    for run_id in (RUN, OTHER):
        store.put(run_id, some_events("queued"))
    assert client.get(f"/studio/compare/{what}", params={"runs": f"{RUN},{OTHER}"}).status_code == 404


def test_a_study_has_its_report(client, store):
    study = "20261124-090000-5555"
    store.put(OTHER, some_events(pruned=40.0))
    store.studies |= {RUN: study, OTHER: study}
    answer = client.get(f"/studio/studies/{study}/report.html")
    assert answer.text.startswith("<!DOCTYPE html>") and OTHER in answer.text
    assert client.get(f"/studio/studies/{study}/model.zip").status_code == 404


@pytest.mark.parametrize("study", ["20200101-000000-0000", "..%2f..", "sample-x"])
def test_there_is_no_report_of_no_study(client, study):
    answer = client.get(f"/studio/studies/{study}/report.html")
    assert answer.status_code == 404 and "Traceback" not in answer.text
