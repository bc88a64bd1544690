"""Laws of stored recoveries: what is fitted together, held against later points, and said of an answer."""

from __future__ import annotations

import json
import math

import pytest

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.cli import main
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import make_job
from apt_core.runs.store import Store
from apt_core.studies import scaling_law
from apt_core.studies.scaling_law import law_json, laws_of, points_of, within_sentence
from tests.ui.ui_helpers import stamped

FIRST, OTHER, THIRD = (f"20261124-10000{place}-abcd" for place in range(3))
DENSE = 2.6


def job(method="spp"):
    return make_job("recover", model={"id": "run:20261124-090000-abcd"}, method=method, optimiser_steps=80)


def curve(sparsity=0.5, steps=range(0, 81, 4), floor=2.8, b=0.02, beta=0.5, dense=DENSE):
    """The events of a training whose loss is floor + b D^-beta, D in millions of tokens."""
    began = ev.TrainingBegan(
        **{"step": 0, "steps": 80, "warm_up": 4, "trained": 9, "windows": 99, "held_out": 8},
        **{"tokens_per_step": 512, "model_parameters": 10**8, "sparsity": sparsity, "dense_loss": dense},
    )
    return [
        began,
        *(
            ev.Trained(
                **{"step": step, "tokens": 512 * step, "learning_rate": 1e-3, "seconds": 1.0},
                held_out=floor + b * (max(step, 0.5) * 512 / 1e6) ** -beta,
            )
            for step in steps
        ),
    ]


def record(run=FIRST, method="spp", **shape):
    return fold(RunRecord(id=run, job=job(method)), stamped(curve(**shape)))


def test_the_warm_up_is_left_out():
    assert [point.tokens for point in points_of(record())][:2] == [512 * 8, 512 * 12]


def test_a_law_of_one_run_and_its_later_points():
    (found,) = laws_of([record()], within=1.5, bootstraps=8)
    assert found.fit.form.name == "curve"
    assert found.fit.constants == pytest.approx({"floor": 2.8, "b": 0.02, "beta": 0.5}, rel=0.02)
    assert found.check.error < 1e-3 < found.check.level
    assert len(found.check.early) == math.ceil(2 * len(found.points) / 3)
    (answer,) = found.within
    assert answer.loss == pytest.approx(DENSE + math.log(1.5))
    exact = 1e6 * (0.02 / (answer.loss - 2.8)) ** 2
    assert answer.tokens == pytest.approx(exact, rel=0.05)
    assert json.loads(json.dumps(law_json(found), allow_nan=False))["form"] == "curve"


def test_a_loss_below_the_floor_is_never_reached_and_one_that_was_measured_is_said_so():
    (never,) = laws_of([record()], within=1.05, bootstraps=4)[0].within
    assert never.tokens is None and "never comes within" in within_sentence(never)
    (there,) = laws_of([record()], within=2.0, bootstraps=4)[0].within
    assert there.measured == 512 * 8 and "as measured" in within_sentence(there)


def test_methods_have_laws_of_their_own_and_sparsities_share_one():
    runs = [record(FIRST, "spp"), record(OTHER, "distill")]
    assert [law.label.split(" on ")[0] for law in laws_of(runs, bootstraps=2)] == ["SPP", "Distillation"]
    shapes = (
        {"sparsity": share, "b": 0.02 * share**2, "floor": DENSE + 0.4 * share**2}
        for share in (0.3, 0.5, 0.7)
    )
    runs = [record(run, **shape) for run, shape in zip((FIRST, OTHER, THIRD), shapes, strict=True)]
    (together,) = laws_of(runs, bootstraps=4)
    assert together.fit.form.name == "sparsity" and together.runs == (FIRST, OTHER, THIRD)
    assert together.fit.constants == pytest.approx(
        {"gamma": -2, "D_C": 0.02, "beta": 0.5, "E": 0.4}, rel=0.02
    )


def test_what_cannot_be_fitted_is_one_sentence():
    with pytest.raises(BadInput, match="needs at least 5 points"):
        laws_of([record(steps=range(0, 13, 4))])
    with pytest.raises(BadInput, match="is no recovery with a curve"):
        laws_of([RunRecord(id=FIRST, job=job())])
    with pytest.raises(BadInput, match="no ratio of perplexities"):
        laws_of([record()], within=0.9)
    with pytest.raises(BadInput, match="nothing to compare with"):
        laws_of([record(dense=None)], within=1.5, bootstraps=2)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The id of a recovery in a store."""
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    store = Store()
    monkeypatch.setattr(store._making, "_check_parent", lambda job: None)
    run_id = store.create(job())
    for event in [*curve(), ev.Finished(seconds={"total": 1.0}, peak_rss_bytes=1)]:
        store.append(run_id, event)
    with store.index.write() as rows:
        rows.update(run_id, status="finished")
    return run_id


def test_on_the_command_line(stored, capsys, monkeypatch):
    monkeypatch.setattr(scaling_law, "_BOOTSTRAPS", 5)
    assert main(["law", stored, "--within", "1.5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["within"] == 1.5
    assert told["laws"][0]["constants"]["beta"]["value"] == pytest.approx(0.5, rel=0.02)
    assert told["laws"][0]["within"][0]["tokens"] > 0
    assert main(["law", stored]) == 0
    said = capsys.readouterr().out
    assert "L = a + b D^-beta (one model size at one sparsity" in said and "95% interval" in said
    assert main(["law", "20200101-000000-abcd", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "unknown_run"
