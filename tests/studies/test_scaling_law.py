"""Laws of stored recoveries: what is fitted together, held against later points, and said of an answer."""

from __future__ import annotations

import json
import math

import pytest

import apt_core
from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.cli import main
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import make_job
from apt_core.runs.store import Store
from apt_core.studies import scaling_law
from apt_core.studies.law_curves import points_of
from apt_core.studies.law_groups import family_of
from apt_core.studies.law_runs import recoveries_of
from apt_core.studies.scaling_law import answered, law_json, laws_of, within_sentence
from tests.ui.ui_helpers import some_events, stamped

FIRST, OTHER, THIRD = (f"20261124-10000{place}-abcd" for place in range(3))
DENSE = 2.6


PARENT = "20261124-090000-abcd"


def job(method="spp", parent=PARENT, **more):
    return make_job("recover", model={"id": f"run:{parent}"}, method=method, optimiser_steps=80, **more)


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


def record(run=FIRST, method="spp", parent=PARENT, **shape):
    return fold(RunRecord(id=run, job=job(method, parent)), stamped(curve(**shape)))


def test_the_warm_up_is_left_out():
    assert [point.tokens for point in points_of(record())][:2] == [512 * 8, 512 * 12]


def test_a_law_of_one_run_and_its_later_points():
    (found,) = laws_of([record()], within=1.5, bootstraps=8).laws
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
    (never,) = laws_of([record()], within=1.05, bootstraps=4).laws[0].within
    assert never.tokens is None and "never comes within" in within_sentence(never)
    early = never._replace(tokens=100.0, low=90.0, high=110.0, trained=1000.0)
    assert "but none of the points up to 1,000 tokens is" in within_sentence(early)
    (there,) = laws_of([record()], within=2.0, bootstraps=4).laws[0].within
    assert there.measured == 512 * 8 and "as measured" in within_sentence(there)


def test_methods_have_laws_of_their_own_and_sparsities_share_one():
    runs = [record(FIRST, "spp"), record(OTHER, "distill")]
    found = laws_of(runs, bootstraps=2)
    assert [law.label.split(" on ")[0] for law in found.laws] == ["SPP", "Distillation"]
    assert "the recovery (SPP; Distillation)" in found.apart and "name" not in found.apart
    assert not any("learning_rate" in law.label for law in found.laws), "each method has options of its own"
    shapes = (
        {"sparsity": share, "b": 0.02 * share**2, "floor": DENSE + 0.4 * share**2}
        for share in (0.3, 0.5, 0.7)
    )
    runs = [record(run, **shape) for run, shape in zip((FIRST, OTHER, THIRD), shapes, strict=True)]
    (together,) = laws_of(runs, bootstraps=4).laws
    assert together.fit.form.name == "sparsity" and together.runs == (FIRST, OTHER, THIRD)
    assert together.fit.constants == pytest.approx(
        {"gamma": -2, "D_C": 0.02, "beta": 0.5, "E": 0.4}, rel=0.02
    )


def opened(record, parameters, prunable=8 * 10**7):
    """With the model that the recovery opened: what a run had left of one of 10^8 parameters."""
    return fold(
        record.model_copy(update={"last_seq": -1, "training": None, "steps": ()}),
        stamped([_loaded(parameters, prunable), *curve_of(record)]),
    )


def curve_of(record):
    return [record.training, *record.steps]


def _loaded(parameters, prunable):
    (loaded,) = [event for event in some_events() if isinstance(event, ev.ModelLoaded)]
    return loaded.model_copy(update={"parameters": parameters, "prunable": prunable})


def pruned_by(**asked):
    """The job of a run that a recovery goes back to."""
    return RunRecord(id="-", job=apt_core.plan("smollm2-135m", **asked))


def test_rho_is_the_share_of_the_original_models_parameters():
    """Zeros count with all parameters, not with the pruned layers alone, and so does what a smaller model lacks."""
    zeros = opened(record(sparsity=0.5), 10**8)
    assert points_of(zeros)[0].sparsity == pytest.approx(0.4)
    smaller = opened(record(sparsity=0.0), 75 * 10**6, prunable=55 * 10**6)
    assert points_of(smaller)[-1].sparsity == pytest.approx(0.25)


def test_models_that_lost_more_and_less_of_their_depth_are_two_sparsities():
    """No zeros in either: one curve through both would be of nothing."""
    known = {
        PARENT: pruned_by(method="depth", pattern=0.125),
        OTHER: pruned_by(method="depth", pattern=0.25),
    }
    runs = [
        opened(record(FIRST, parent=PARENT, sparsity=0.0, floor=2.9), 9 * 10**7),
        opened(record(THIRD, parent=OTHER, sparsity=0.0, floor=3.2), 8 * 10**7),
    ]
    (found,) = laws_of(runs, bootstraps=2, known=known.get).laws
    assert found.fit.form.name == "sparsity"
    assert sorted({round(point.sparsity, 6) for point in found.points}) == [0.1, 0.2]
    assert "rho the share of the dense model's parameters that is gone" in scaling_law.form_sentence(
        found.fit
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "wanda", "pattern": "2:4"}, "how they were pruned (Depth; Wanda 2:4)"),
        ({"method": "wanda", "pattern": 0.5}, "how they were pruned (Depth; Wanda unstructured)"),
        (
            {"method": "depth", "pattern": 0.25, "options": {"criterion": "last"}},
            "(Depth; Depth (criterion last))",
        ),
    ],
)
def test_ways_to_prune_have_laws_of_their_own(asked, said):
    known = {PARENT: pruned_by(method="depth", pattern=0.25), OTHER: pruned_by(**asked)}
    runs = [record(FIRST, parent=PARENT), record(THIRD, parent=OTHER)]
    found = laws_of(runs, bootstraps=2, known=known.get)
    assert [law.runs for law in found.laws] == [(FIRST,), (THIRD,)]
    assert said in found.apart and "the recovery" not in found.apart
    assert found.laws[0].label.endswith(" · SmolLM2 Instruct · Depth")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": {"name": "spp", "learning_rate": 0.5}}, "learning_rate (0.0"),
        ({"method": {"name": "spp", "rank": 3}}, "rank ("),
        ({"training": {"text": "wiki-sample", "length": 64}}, "length ("),
    ],
)
def test_ways_to_train_have_laws_of_their_own(changes, said):
    usual = {"method": "spp", "training": {"text": "wiki-sample"}} | changes
    runs = [
        fold(RunRecord(id=run, job=job(**asked)), stamped(curve()))
        for run, asked in ((FIRST, {"training": {"text": "wiki-sample"}}), (OTHER, usual))
    ]
    found = laws_of(runs, bootstraps=2)
    assert len(found.laws) == 2 and said in found.apart
    assert len({law.label for law in found.laws}) == 2
    seeds = [
        fold(RunRecord(id=run, job=job(seed=seed)), stamped(curve()))
        for seed, run in enumerate((FIRST, OTHER))
    ]
    assert len(laws_of(seeds, bootstraps=2).laws) == 1, "seeds of one way are one law"


def test_what_pruned_a_model_whose_run_is_gone_is_a_way_of_its_own():
    found = laws_of([record(FIRST, parent=PARENT), record(THIRD, parent=OTHER)], bootstraps=2)
    assert len(found.laws) == 2 and f"run {OTHER}, which is gone" in found.apart


def test_a_model_pruned_twice_is_another_way():
    known = {
        PARENT: pruned_by(method="wanda", pattern="2:4"),
        OTHER: RunRecord(id=OTHER, job=apt_core.plan(f"run:{PARENT}", "depth", 0.25)),
    }
    (found,) = laws_of([record(parent=OTHER)], bootstraps=2, known=known.get).laws
    assert found.label.endswith("SmolLM2 Instruct · Wanda 2:4, then Depth")


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("smollm2-135m", "SmolLM2 Instruct"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-Instruct"),
        ("someone/Some-7B-v2", "someone/Some-v2"),
        ("tiny-llama", "Tiny Llama"),
    ],
)
def test_a_family_is_a_name_without_its_size(model, family):
    assert family_of(model) == family


def test_a_group_with_too_few_points_is_named_and_the_others_have_their_laws():
    runs = [record(FIRST), record(OTHER, "distill", steps=range(0, 13, 4))]
    found = laws_of(runs, bootstraps=2)
    assert [law.runs for law in found.laws] == [(FIRST,)]
    assert "Distillation" in found.left_out[0] and "needs at least 5 points" in found.left_out[0]


def test_a_recovery_that_went_on_stands_for_the_one_that_stopped():
    stopped = record(FIRST, steps=range(0, 41, 4))
    went_on = fold(RunRecord(id=OTHER, job=job(resume=FIRST)), stamped(curve()))
    assert recoveries_of([stopped, went_on], lambda run: []) == [went_on]


def test_of_two_that_went_on_from_one_the_longer_stands_for_all_three():
    """Both begin with the curve that was kept: its points counted twice, and the intervals were too narrow."""
    stopped = record(FIRST, steps=range(0, 41, 4))
    finished = fold(RunRecord(id=OTHER, job=job(resume=FIRST)), stamped(curve(steps=range(0, 41, 4))))
    went_on = fold(RunRecord(id=THIRD, job=job(resume=FIRST)), stamped(curve()))
    for order in ([stopped, finished, went_on], [went_on, finished, stopped], [finished, went_on]):
        assert recoveries_of(order, lambda run: []) == [went_on]
    assert recoveries_of([finished], lambda run: []) == [finished], "alone it is all that was asked for"


def test_an_answer_to_another_ratio_needs_no_other_law():
    whole = laws_of([record()], bootstraps=4)
    assert not whole.laws[0].within
    (law,), (other,) = answered(whole, 1.5).laws, laws_of([record()], within=1.5, bootstraps=4).laws
    assert law.within == other.within != () and law.fit == whole.laws[0].fit
    with pytest.raises(BadInput, match="does not know the loss of its dense model"):
        answered(laws_of([record(dense=None)], bootstraps=2), 1.5)


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


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """(a study of two sparsities, a recovery of each of its runs), as a sweep and two recoveries leave them."""
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(scaling_law, "_BOOTSTRAPS", 4)
    store = Store()
    study = store.create_study("sweep", [apt_core.plan("tiny-llama", "wanda", share) for share in (0.3, 0.5)])
    recoveries = []
    for place, run in enumerate(study.runs):
        (store.folder(run) / "checkpoint").mkdir()
        (store.folder(run) / "checkpoint" / "model.safetensors").write_bytes(b"weights")
        ended(store, run, ev.Finished(seconds={}, peak_rss_bytes=1, checkpoint="checkpoint"))
        child = store.create(job(parent=run))
        ended(
            store,
            child,
            *curve(sparsity=0.3 + 0.2 * place, floor=2.8 + 0.1 * place),
            ev.Finished(seconds={}, peak_rss_bytes=1),
        )
        recoveries.append(child)
    return study, recoveries


def ended(store, run_id, *events):
    for event in events:
        store.append(run_id, event)
    with store.index.write() as rows:
        rows.update(run_id, status="finished")


def test_the_law_of_a_study_is_that_of_the_recoveries_of_its_runs(swept, capsys):
    study, recoveries = swept
    assert main(["law", study.id, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (law,) = told["laws"]
    assert law["runs"] == recoveries and law["form"] == "sparsity"
    assert law["label"].endswith("Tiny Llama · Wanda unstructured") and told["apart"] is None
    assert main(["law", study.runs[1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["laws"][0]["runs"] == recoveries[1:]
    assert main(["law", study.id]) == 0
    assert "95% interval" in capsys.readouterr().out


def test_a_study_that_was_not_recovered_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    jobs = [apt_core.plan("tiny-llama", "wanda", share) for share in (0.3, 0.5)]
    study = Store().create_study("sweep", jobs)
    assert main(["law", study.id, "--json"]) == 2
    said = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "led to, a recovery with a curve; recover a pruned model first" in said


def test_in_python_it_is_the_same(swept):
    study, recoveries = swept
    found = apt_core.law(study.id, within=1.5)
    assert [law.runs for law in found.laws] == [tuple(recoveries)] and len(found.laws[0].within) == 2
    assert apt_core.law(recoveries).laws[0].runs == tuple(recoveries)
