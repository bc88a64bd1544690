"""The trained tiny models are what their logs say, and the script that made them still runs."""

from __future__ import annotations

import json

import pytest
import torch

import apt_core
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.load.loading import load
from assets.make import train_tiny

TRAINED = list(train_tiny.PLANS)


def log_of(folder):
    return json.loads((folder / "training.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TRAINED)
def test_a_bundled_model_predicts_unseen_text_as_well_as_its_log_says(name):
    folder = CATALOGUE[name].folder
    said = log_of(folder)["perplexity per byte"]
    measured = apt_core.evaluate(name, "wiki-sample", samples=12, length=512, dtype="float32")
    assert measured.perplexity == pytest.approx(said["evaluation part"], rel=1e-3)
    assert said["evaluation part"] < said["evaluation part, by how often each byte occurs in training"] / 2
    assert said["uniform over the vocabulary"] == 258


@pytest.mark.parametrize("name", TRAINED)
def test_a_bundled_model_is_small_and_of_the_plan_it_names(name):
    folder = CATALOGUE[name].folder
    assert (folder / "model.safetensors").stat().st_size < 4_000_000
    log = log_of(folder)
    assert log["parameters"] == CATALOGUE[name].parameters
    assert log["plan"] == json.loads(json.dumps(train_tiny.PLANS[name]._asdict()))


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("pattern", ["2:4", "4:8", "8:16"])
def test_every_pattern_of_hardware_fits_its_widths(name, pattern):
    of = int(pattern.split(":")[1])
    assert all(layer.in_features % of == 0 for layer in CATALOGUE[name].shape.layers)


def test_training_writes_a_model_that_loads(tmp_path, monkeypatch):
    plan = train_tiny.PLANS["tiny-mamba"]._replace(steps=2, batch=1, length=32)
    monkeypatch.setitem(train_tiny.PLANS, "tiny-mamba", plan)
    monkeypatch.setattr(train_tiny, "_EVALUATED", (1, 64))
    folder = train_tiny.train("tiny-mamba", tmp_path / "made")
    model, tokenizer = load(folder, torch.float32, "cpu")
    assert sum(weight.numel() for weight in model.parameters()) == CATALOGUE["tiny-mamba"].parameters
    assert len(tokenizer) == 258
    assert [look["step"] for look in log_of(folder)["history"]] == [2]
