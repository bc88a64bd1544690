"""A model that predicts no numbers any more is named as such, so that a search can take it for an answer."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from apt_core.base.errors import NotNumbers
from apt_core.base.paths import ASSETS
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.measure.perplexity import perplexity_events
from apt_core.runs.worker_errors import failure_of
from tests.runs.fake_worker import evaluated


def test_predictions_that_are_no_numbers_have_a_kind_of_their_own():
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "models" / "tiny-random-llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.fill_(float("nan"))
    windows = torch.randint(0, 200, (2, 16), generator=torch.Generator().manual_seed(0))
    with pytest.raises(NotNumbers, match="less sparsity") as raised:
        list(perplexity_events(model, windows, "pruned", "wiki-sample"))
    failure = failure_of(raised.value)
    job = make_job("prune", model={"id": "tiny-random-llama"}, method="apt")
    run = RunRecord(id="r", job=job, status="failed", failure=failure, evaluated=(evaluated("dense", 10.0),))
    assert run.lost_its_predictions
    assert not run.model_copy(update={"evaluated": ()}).lost_its_predictions  # the dense model is no better
