"""Recorded samples: what is kept of a run, and that a bad file does not break the page."""

import json
from pathlib import Path

import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events, stamped

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.measure.depth_values import BlocksAlone
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion
from apt_core.reports import samples
from apt_core.runs.kept_looks import keep
from apt_core.ui.studio import Studio
from apt_core.ui.views.headline import headline

RUN = "20261124-100000-abcd"


class Recorded(FakeStore):
    place = Path("/nowhere")

    def folder(self, run_id):
        return self.place

    def events_since(self, run_id, seq=-1):
        return stamped(self.logs[run_id])


@pytest.fixture
def store():
    store = Recorded()
    store.put(RUN, some_events(), a_recipe(calibration={"text": "/home/somebody/wikitext.txt"}))
    return store


def test_a_recorded_run_comes_back_as_it_was_without_the_machine(store, tmp_path):
    path = samples.record_sample(RUN, "tiny-24", "Tiny", folder=tmp_path, store=store)
    text = path.read_text("utf-8")
    assert (
        "/somewhere" not in text and "/home" not in text and "4711" not in text and '"progress"' not in text
    )
    [(run_id, sample)] = samples.load(tmp_path).items()
    record = sample.record("tiny-24")
    assert run_id == record.id == "sample-tiny-24" and record.ratio == 1.5 and len(record.layers) == 6
    assert record.conditions.startswith("Recorded on ") and "a machine, 2 cores" in record.conditions
    assert record.job.calibration.text == "wikitext.txt"


def test_what_was_found_inside_and_what_to_look_at_come_along(store, tmp_path):
    store.place = tmp_path / "run"
    store.place.mkdir()
    found = BlocksAlone(
        run=RUN,
        text="/home/x/wiki.txt",
        windows=1,
        length=16,
        dense=1.0,
        pruned=2.0,
        losses=(1.5,),
        seconds=1.0,
    )
    keep(store.place, BlocksAloneQuestion(run=RUN), found)
    samples.record_sample(RUN, "y", folder=tmp_path, store=store, look="Look at <b>block 0</b>.")
    samples.load.cache_clear()
    recorded = samples.load(tmp_path)
    (sample,) = recorded.values()
    assert sample.inside == (found.model_copy(update={"text": "wiki.txt"}),)
    studio = Studio(store, FakeLauncher(store), FakeReader(), recorded)
    assert studio.seen_inside(BlocksAloneQuestion(run="sample-y")) == sample.inside[0]
    assert studio.seen_inside(DepthQuestion(run="sample-y")) is None
    shown = str(headline(studio.record("sample-y"), "Tiny", studio.samples))
    assert "Look at &lt;b&gt;block 0&lt;/b&gt;." in shown and "Look at" not in str(
        headline(store.get(RUN), "Tiny")
    )


def test_only_finished_runs_can_be_recorded(store, tmp_path):
    store.put(RUN, some_events("layers"))
    with pytest.raises(BadInput, match="has not finished"):
        samples.record_sample(RUN, "x", folder=tmp_path, store=store)
    with pytest.raises(BadInput, match="no name for a sample"):
        samples.record_sample(RUN, "../x", folder=tmp_path, store=store)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_sample_is_left_out(store, tmp_path):
    samples.record_sample(RUN, "good", folder=tmp_path, store=store)
    (tmp_path / "torn.json").write_text('{"title": "x"')
    (tmp_path / "other.json").write_text(json.dumps({"title": "x", "conditions": "y"}))
    samples.load.cache_clear()
    assert list(samples.load(tmp_path)) == ["sample-good"]


def test_the_first_sample_is_the_one_with_the_lowest_order(store, tmp_path):
    samples.record_sample(RUN, "a", order=20, folder=tmp_path, store=store)
    samples.record_sample(RUN, "b", order=10, folder=tmp_path, store=store)
    samples.load.cache_clear()
    studio = Studio(store, FakeLauncher(store), FakeReader(), samples.load(tmp_path))
    assert studio.first_sample.id == "sample-b"


def test_every_shipped_sample_loads_and_says_its_conditions():
    samples.load.cache_clear()
    files = sorted((samples.ASSETS / "samples").glob("*.json"))
    records = {run_id: sample.record(run_id) for run_id, sample in samples.load().items()}
    assert len(records) == len(files)
    for record in records.values():
        assert record.status == "finished" and "Recorded on" in record.conditions
        assert not any(isinstance(part, ev.Progress) for part in (record.progress,))


def test_every_bundled_sample_holds_both_answers_to_the_same_question():
    records = [sample.record(name) for name, sample in samples.load().items()]
    asked = {record.answers.question for record in records}
    assert len(records) > 3 and len(asked) == 1
    assert len({record.answers.answered.dense for record in records}) == 1  # one dense model
    assert all(record.answers.answered.pruned for record in records)
