"""Perplexity as a job of its own: the numbers against transformers, any number of texts, and what a run made."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import apt_core
from apt_core.base.errors import BadInput, BadText, UnknownRun
from apt_core.base.paths import ASSETS
from apt_core.base.policy import HostPolicy
from apt_core.events import Evaluated
from apt_core.events.records import summary
from apt_core.execute import KINDS, Context, run
from apt_core.jobs import JOBS, make_job
from apt_core.runs.store import Store
from apt_core.runs.worker import main as work
from apt_core.texts.sources import load_text
from apt_core.texts.titles import text_title
from apt_core.texts.windows import token_windows

TINY = ASSETS / "models" / "tiny-random-llama"


@pytest.fixture(autouse=True)
def alone(fresh_cache):
    """Nothing that an earlier test measured is reused."""


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("The model reads this text, and then it reads it again. " * 60, "utf-8")
    return str(path)


def losses_of(folder: Path, text: str, samples: int, length: int) -> list[float]:
    """By transformers' own loss, window by window."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    windows = token_windows(tokenizer, load_text(text, "evaluation"), length, samples)
    with torch.no_grad():
        return [model(input_ids=window[None], labels=window[None]).loss.item() for window in windows]


def test_every_kind_of_job_can_be_done():
    assert set(KINDS) >= set(JOBS) == {"prune", "evaluate", "recover", "search", "shrink"}


@pytest.mark.parametrize("weights", ["auto", "memory", "disk"])
def test_perplexity_and_interval_are_those_of_the_windows_losses(weights):
    found = apt_core.evaluate(
        "tiny-random-llama", "wiki-sample", samples=5, length=64, dtype="float32", weights=weights
    )
    losses = losses_of(TINY, "wiki-sample", 5, 64)
    assert found.losses == pytest.approx(losses, rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(statistics.fmean(losses)), rel=1e-5)
    reach = 2.776445 * statistics.stdev(losses) / math.sqrt(5)  # Student's t, 4 degrees of freedom
    mean = statistics.fmean(losses)
    assert (found.low, found.high) == pytest.approx(
        (math.exp(mean - reach), math.exp(mean + reach)), rel=1e-4
    )
    assert (found.subject, found.windows, found.tokens) == ("model", 5, 5 * 63)


def test_windows_at_the_start_of_the_text_are_left_out():
    found = apt_core.evaluate(
        "tiny-random-llama", "wiki-sample", samples=3, skip=2, length=64, dtype="float32"
    )
    assert found.losses == pytest.approx(losses_of(TINY, "wiki-sample", 5, 64)[2:], rel=1e-5)


def test_leaving_out_more_windows_than_the_text_has_is_one_sentence(text):
    with pytest.raises((BadText, BadInput), match="the first 4000"):
        apt_core.evaluate("tiny-random-llama", text, samples=3, skip=4000, length=64)


def test_one_window_has_no_interval():
    found = apt_core.evaluate("tiny-random-llama", "wiki-sample", samples=1, length=64)
    assert found.low is None and found.high is None and len(found.losses) == 1


def test_several_texts_are_measured_in_their_order(text):
    first, second = apt_core.evaluate("tiny-random-llama", ["wiki-sample", text], samples=3, length=64)
    assert (first.text, second.text) == ("wiki-sample", text)
    assert second.perplexity == apt_core.evaluate("tiny-random-llama", text, samples=3, length=64).perplexity
    assert first.perplexity != second.perplexity


def test_events_in_their_order():
    job = make_job(
        "evaluate", model={"id": "tiny-random-llama"}, evaluation={"text": "wiki-sample", "samples": 2}
    )
    kinds = [event.kind for event in apt_core.run(job) if event.kind not in ("progress", "warned")]
    assert kinds == ["model_loaded", "evaluated", "finished"]


def test_a_run_that_pruned_can_be_measured_on_another_text_and_pruned_again(tmp_path, monkeypatch, text):
    """30% unstructured, then 2:4: the second run's dense model is what the first one made."""
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    store, windows = Store(), {"text": "wiki-sample", "samples": 3, "length": 64}

    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest keeps its own
    monkeypatch.setattr("os.nice", lambda _: 0)

    def done(job):
        run_id = store.create(job)
        with store.index.write() as rows:
            rows.update(run_id, status="running", pid=os.getpid())
        assert work(run_id) == 0
        with store.index.write() as rows:
            rows.update(run_id, status="finished")
        return store.get(run_id)

    calibration = {"text": "wiki-sample", "samples": 4, "length": 64}
    parent = done(
        apt_core.plan("tiny-random-llama", "wanda", "0.3", calibration=calibration, evaluation=windows)
    )
    child = done(
        apt_core.plan(f"run:{parent.id}", "sparsegpt", "2:4", calibration=calibration, evaluation=windows)
    )
    assert child.made_from == parent.id
    assert child.dense.perplexity == pytest.approx(parent.pruned.perplexity, rel=1e-6)
    assert child.model.title == f"{parent.model.title} · Wanda · 30%"
    assert child.sparsity == 0.5 and all(layer.pattern_valid for layer in child.layers)
    before = load_file(store.checkpoint(parent.id) / "model.safetensors")
    after = load_file(store.checkpoint(child.id) / "model.safetensors")
    name = "model.layers.0.mlp.down_proj.weight"
    assert (before[name] == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert (
        (after[name].reshape(-1, 4) != 0).sum(1) <= 2
    ).all()  # a zero of the parent may stay in a third place

    measured = done(
        make_job("evaluate", model={"id": f"run:{child.id}"}, evaluation=[windows, {"text": text}])
    )
    assert measured.evaluated[0].perplexity == pytest.approx(child.pruned.perplexity, rel=1e-5)
    assert [one["text"] for one in summary(measured)["texts"]] == ["wiki-sample", text_title(text)]
    assert store.checkpoint(measured.id) is None and measured.finished.checkpoint == ""


def test_a_run_that_is_not_there_is_one_sentence():
    job = make_job("evaluate", model={"id": "run:20200101-000000-0000"})
    with pytest.raises(UnknownRun):
        list(apt_core.run(job))
    with pytest.raises(Exception, match="no store of runs"):
        list(run(job, Context.of(job, Path("."), HostPolicy())))


@pytest.mark.slow
def test_a_model_of_the_hub_that_is_not_here_yet_is_downloaded_and_measured(tmp_path):
    from tests.models.fake_hub import FakeHub

    script = "import apt_core; print(apt_core.evaluate('someone/tiny', 'wiki-sample', samples=2, length=64).perplexity)"
    with FakeHub() as hub:
        hub.add("someone/tiny", TINY)
        environment = os.environ | {
            **{"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"},
            **{
                "APT_CACHE": str(tmp_path / "other"),
                "HF_HOME": str(tmp_path / "hf"),
                "NO_PROXY": "127.0.0.1",
            },
        }
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert said.returncode == 0, said.stderr
    assert float(said.stdout) == pytest.approx(
        apt_core.evaluate("tiny-random-llama", "wiki-sample", samples=2, length=64).perplexity, rel=1e-5
    )
    assert "model.safetensors" in hub.downloads()


def test_what_is_evaluated_twice_is_measured_once():
    first, again = (
        apt_core.evaluate("tiny-random-llama", "wiki-sample", samples=2, length=64) for _ in range(2)
    )
    assert not first.reused and again == first.model_copy(update={"reused": True})
    assert isinstance(again, Evaluated)
