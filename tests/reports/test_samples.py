"""Recorded samples: what is kept of a run, and that a bad file does not break the page."""

import json

import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events, stamped

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.reports import samples
from apt_core.ui.studio import Studio

RUN = "20261124-100000-abcd"


class Recorded(FakeStore):
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
