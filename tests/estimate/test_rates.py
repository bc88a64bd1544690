"""Finished runs teach how fast a machine is, stage by stage, and none of them too much."""

from __future__ import annotations

import pytest

from apt_core import events as ev
from apt_core.estimate import rates
from apt_core.estimate.machine import XEON
from apt_core.estimate.preflight import estimate
from apt_core.estimate.rates import packaged_rates, rates_from, rates_of
from apt_core.estimate.work import stages_of
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import known_facts

SMOL = "smollm2-135m"
BASE = rates_of(XEON, "float32")


def a_recipe(model: str = SMOL, method: object = "apt"):
    return make_job("prune", model={"id": model}, method=method, dtype="float32")


def finished_run(method: object = "apt", slower: float = 1.0, of: str = SMOL, **changes: object) -> RunRecord:
    """A record whose stages took `slower` times as long as the packaged rates say."""
    recipe, facts = a_recipe(of, method), known_facts(CATALOGUE[of])
    work = stages_of(recipe, facts, "float32")
    told = {name: slower * stage.seconds(XEON, "float32") for name, stage in work.items()}
    seconds = {name: spent for name, spent in told.items() if name not in {"start", "convert", "check"}}
    within = ("solve", "forward", "statistics", "gradients", "check")
    total = sum(seconds.values()) + told["check"]
    seconds |= {"prune": sum(told[name] for name in within), "total": total}
    layers = tuple(
        ev.LayerPruned(
            block=block, layer=layer.name, shape=(layer.out_features, layer.in_features), removed=0, sparsity=0.5,
            relative_error=0.01, pattern_valid=True, dampening=0.01, seconds=0.1,
        )
        for block in range(facts.blocks)
        for layer in facts.layers
    )  # fmt: skip
    model = ev.ModelLoaded(
        title="SmolLM2", architecture="LlamaForCausalLM", parameters=facts.parameters, prunable=facts.prunable,
        blocks=facts.blocks, layers=tuple(layer.name for layer in facts.layers), total_layers=210,
        scans=facts.scans, device="cpu", dtype="float32", hardware="some machine, 4 cores", versions={},
    )  # fmt: skip
    speed = ev.Measured(subject="dense", tokens_per_second=10, bytes_on_disk=facts.bytes_on_disk)
    finished = ev.Finished(sparsity=0.5, parameters=1, removed=1, seconds=seconds, peak_rss_bytes=1)
    fields = {
        "model": model, "layers": layers, "measured": (speed,), "finished": finished, "status": "finished",
        "started_at": 100.0, "ended_at": 100.0 + total + slower * told["start"] / slower,
    }  # fmt: skip
    return RunRecord(id="run", job=recipe, **fields | changes)


def again(method: object, learnt: rates.Rates, of: str = SMOL):
    return estimate(a_recipe(of, method), known_facts(CATALOGUE[of]), learnt)


def seconds(method: object, learnt: rates.Rates) -> float:
    return again(method, learnt).parts["solve"]


@pytest.mark.parametrize("method", ["apt", "apt-joint", "wanda"])
def test_a_run_that_took_what_was_foretold_changes_nothing(method):
    learnt = rates_from(finished_run(method), BASE)
    for stage, spent in again(method, BASE).parts.items():
        assert again(method, learnt).parts[stage] == pytest.approx(spent, rel=0.1, abs=0.3), stage
    assert "by earlier runs on this machine" in again(method, learnt).sentences[0]


def test_a_run_that_begins_warm_is_foretold_without_importing():
    cold, warm = again("apt", BASE), again("apt", BASE.begun_warm())
    assert warm.parts["start"] == 0 and 0 < warm.parts["load"] < cold.parts["load"]
    assert cold.seconds - warm.seconds == pytest.approx(XEON.start + XEON.open)


def test_a_run_that_began_warm_teaches_nothing_of_a_start():
    cold = finished_run()
    quick = {"seconds": cold.finished.seconds | {"load": 0.01}, "spared": {ev.LIBRARIES: 5.0}}
    warm = cold.model_copy(
        update={"finished": cold.finished.model_copy(update=quick), "ended_at": cold.ended_at - XEON.start}
    )
    learnt = rates_from(warm, BASE)
    assert "solve" in learnt.taught
    for stage in ("start", "load"):
        assert again("apt", learnt).parts[stage] == again("apt", BASE).parts[stage], stage
    assert {"start", "load"} <= rates_from(cold, BASE).taught.keys()


def test_runs_that_agree_are_believed_a_single_one_by_half():
    once = rates_from(finished_run(slower=3), BASE)
    assert seconds("apt", once) == pytest.approx(3**0.5 * seconds("apt", BASE), rel=0.02)
    twice = rates_from(finished_run(slower=3), once)
    assert seconds("apt", twice) == pytest.approx(3 * seconds("apt", BASE), rel=0.02)
    assert twice.conditions == "some machine, 4 cores" and twice.measured_here


def test_what_one_method_teaches_holds_for_the_others():
    learnt = rates_from(
        finished_run("wanda", slower=2), rates_from(finished_run("sparsegpt", slower=2), BASE)
    )
    for method in ("apt", "alps", {"name": "wanda", "reconstruction": "exact"}):
        assert seconds(method, learnt) == pytest.approx(2 * seconds(method, BASE), rel=0.02)


def test_a_slow_composition_does_not_make_the_others_slow():
    """It was foretold 234 s for one and 1.4 s for the other; afterwards APT's 15 s became 2,515."""
    exact = finished_run({"name": "wanda", "reconstruction": "exact"})
    assert seconds("apt", rates_from(exact, BASE)) == pytest.approx(seconds("apt", BASE), rel=0.02)


def test_one_odd_run_moves_a_stage_by_two_at_most_and_is_outvoted():
    odd = rates_from(finished_run(slower=170), BASE)
    assert seconds("apt", odd) == pytest.approx(2 * seconds("apt", BASE), rel=0.02)
    for _ in range(2):
        odd = rates_from(finished_run(), odd)
    assert seconds("apt", odd) == pytest.approx(seconds("apt", BASE), rel=0.05)


def test_a_run_that_left_the_weights_on_disk_teaches_nothing_about_loading_and_speed():
    record = finished_run(slower=3)
    speed = record.dense_speed.model_copy(update={"tokens_per_second": None})
    learnt = rates_from(record.model_copy(update={"measured": (speed,)}), BASE)
    assert not {"load", "measure"} & set(learnt.taught) and "dense_eval" in learnt.taught


@pytest.mark.parametrize(
    "changes", [{"finished": None}, {"model": None}, {"conditions": "recorded on another machine"}]
)
def test_runs_that_teach_nothing_change_nothing(changes):
    assert rates_from(finished_run(**changes), BASE) == BASE


def test_the_download_of_a_first_run_does_not_count_as_slow_loading():
    record = finished_run()
    spent = record.finished.seconds | {"load": 500.0}
    slow = record.model_copy(update={"finished": record.finished.model_copy(update={"seconds": spent})})
    assert again("apt", rates_from(slow, BASE)).parts["load"] <= 2 * again("apt", BASE).parts["load"]


def test_stages_too_short_to_tell_teach_nothing():
    learnt = rates_from(finished_run(of="tiny-random-llama", slower=2), BASE)
    assert "statistics" not in learnt.taught and "save" not in learnt.taught


def test_a_state_space_run_teaches_how_fast_its_mixers_are():
    learnt = rates_from(finished_run(of="tiny-mamba", slower=3), BASE)
    assert learnt.pace("forward") == pytest.approx(3**0.5, rel=0.05)


def test_the_packaged_rates_say_whose_they_are():
    assert packaged_rates("float32").basis == f"by the rates of {XEON.conditions}"
    measured = XEON.model_copy(update={"measured": True, "conditions": "this one"})
    assert (
        rates_of(measured).basis == "by rates measured on this machine" and rates_of(measured).measured_here
    )
