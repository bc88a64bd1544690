"""Which points a law is fitted to: losses along a cosine schedule are above those of a shorter one that has ended."""

from __future__ import annotations

import math

import pytest

from apt_core import events as ev
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import make_job
from apt_core.studies.law_curves import ALONG, FINAL, Stretch, chosen_of, schedule_of, used_sentence
from apt_core.studies.scaling_law import law_json, laws_of, schedule_sentence
from apt_core.ui.views.law import laws_card
from tests.ui.ui_helpers import stamped

PARENT = "20261124-090000-abcd"
WARM_UP = 0.05
TRUE = {"floor": 2.8, "b": 0.05, "beta": 0.5}


def final_loss(steps):
    """The law: what a schedule of so many steps of 512 tokens ends at."""
    return TRUE["floor"] + TRUE["b"] * (512 * steps / 1e6) ** -TRUE["beta"]


def loss_at(step, steps, high=0.3):
    """Above the law by as much as the learning rate is still above zero, as along a cosine."""
    return final_loss(max(step, 0.5)) + high * 0.5 * (1 + math.cos(math.pi * step / steps))


def recovery(number, steps, last=None, resume=None, began_at=0, planned=None, sparsity=0.5):
    """A recovery of so many steps, or as far as `last`; gone on from `resume` behind `began_at`."""
    run, planned = f"20261124-10{number:04}-abcd", planned or steps
    job = make_job(
        "recover",
        model={"id": f"run:{PARENT}"},
        method="spp",
        optimiser_steps=steps,
        warm_up=WARM_UP,
        resume=resume,
    )
    began = ev.TrainingBegan(
        **{"step": began_at, "steps": steps, "warm_up": round(WARM_UP * steps), "trained": 9, "windows": 99},
        **{"held_out": 8, "tokens_per_step": 512, "model_parameters": 10**8, "sparsity": sparsity},
        dense_loss=2.6,
    )
    every = max(1, planned // 10)
    points = [
        ev.Trained(
            **{"step": step, "tokens": 512 * step, "learning_rate": 1e-3, "seconds": 1.0},
            held_out=loss_at(step, planned),
        )
        for step in range(0, (steps if last is None else last) + 1, every)
    ]
    return fold(RunRecord(id=run, job=job), stamped([began, *points]))


def unknown(run_id):
    return None


def test_curves_of_one_schedule_are_fitted_whole():
    runs = [recovery(1, 100), recovery(2, 100), recovery(3, 100, last=60)]
    chosen = chosen_of(runs, unknown)
    assert chosen.used == ALONG and chosen.runs == tuple(run.id for run in runs) and not chosen.left_out
    assert [len(curve) for curve in chosen.curves] == [10, 10, 6]
    assert "which share a learning-rate schedule (100 steps with 5% warm-up)" in used_sentence(chosen)
    assert "the curve of one recovery (100 steps with 5% warm-up)" in used_sentence(
        chosen_of(runs[:1], unknown)
    )


def test_of_different_schedules_the_final_losses_give_the_law():
    """They are exact here; all points together, as they were fitted before, are far off."""
    lengths = (50, 100, 200, 300, 400, 600, 800, 1600, 3200)
    runs = [recovery(number, steps) for number, steps in enumerate(lengths)]
    (law,) = laws_of(runs, bootstraps=2).laws
    assert law.chosen.used == FINAL and len(law.points) == 9 and law.runs == tuple(run.id for run in runs)
    assert law.fit.constants == pytest.approx(TRUE, rel=0.02)
    assert law.check is not None and len(law.check.early) == 6 and law.check.error < 1e-3 < law.check.level
    said = "(50, 100, 200, 300, 400, 600, 800, 1,600 and 3,200 steps with 5% warm-up)"
    assert "final losses of 9 recoveries" in used_sentence(law.chosen) and said in used_sentence(law.chosen)
    assert not schedule_sentence(law)
    told = law_json(law)
    assert told["used"] == "final losses" and told["note"] is None and told["left_out"] == []
    assert "final losses of 9 recoveries, because" in str(laws_card(laws_of(runs, bootstraps=2)))


def test_a_run_that_did_not_come_to_its_end_has_no_final_loss():
    runs = [recovery(number, steps) for number, steps in enumerate((50, 100, 200, 400, 800))]
    stopped = recovery(9, 1600, last=960)
    (law,) = laws_of([*runs, stopped], bootstraps=2).laws
    assert law.runs == tuple(run.id for run in runs)
    assert law.fit.constants == pytest.approx(TRUE, rel=0.02)
    (said,) = law_json(law)["left_out"]
    assert said.startswith(stopped.id) and "no final loss" in said
    assert said in str(laws_card(laws_of([*runs, stopped], bootstraps=2)))


def test_where_final_losses_are_too_few_one_schedule_stands_alone():
    runs = [recovery(1, 100), recovery(2, 200), recovery(3, 200)]
    chosen = chosen_of(runs, unknown)
    assert chosen.used == ALONG and chosen.runs == (runs[1].id, runs[2].id)
    assert chosen.left_out == (
        f"{runs[0].id} is left out: its schedule (100 steps with 5% warm-up) is not that of "
        "the most points (200 steps with 5% warm-up).",
    )
    assert "final losses alone are too few" in used_sentence(chosen)


def test_lengths_that_are_two_are_no_law_however_many_runs_there_are():
    runs = [recovery(number, 100 if number % 2 else 200) for number in range(8)]
    assert chosen_of(runs, unknown).used == ALONG


def test_final_losses_of_several_sparsities_are_a_curve_each():
    runs = [
        recovery(10 * place + number, steps, sparsity=share)
        for place, share in enumerate((0.3, 0.5))
        for number, steps in enumerate((400, 50, 100, 200))
    ]
    chosen = chosen_of(runs, unknown)
    assert chosen.used == FINAL and [len(curve) for curve in chosen.curves] == [4, 4]
    assert all([p.tokens for p in curve] == sorted(p.tokens for p in curve) for curve in chosen.curves)


def test_a_recovery_that_went_on_has_the_plans_of_both():
    first = recovery(1, 100, last=50)
    known = {first.id: first}.get
    same = recovery(2, 100, resume=first.id, began_at=50)
    assert schedule_of(same, known) == (Stretch(100, WARM_UP),)
    longer = recovery(3, 200, resume=first.id, began_at=50)
    assert schedule_of(longer, known) == (Stretch(100, WARM_UP), Stretch(200, WARM_UP))
    assert "100 steps with 5% warm-up, then 200 steps" in used_sentence(chosen_of([longer], known))


def test_a_recovery_that_was_finished_early_was_trained_under_the_longer_plan():
    first = recovery(1, 100, last=50)
    early = recovery(2, 50, resume=first.id, began_at=50, planned=100)
    known = {first.id: first}.get
    assert schedule_of(early, known) == (Stretch(100, WARM_UP),)
    whole = [recovery(10 + number, steps) for number, steps in enumerate((60, 120, 200, 400, 800))]
    chosen = chosen_of([early, *whole], known)
    assert chosen.used == FINAL and early.id not in chosen.runs and early.id in chosen.left_out[0]


def test_the_plan_of_a_run_that_is_gone_is_not_known():
    went_on = recovery(3, 200, resume="20261124-080000-abcd", began_at=50)
    assert schedule_of(went_on, unknown)[1:] == (Stretch(200, WARM_UP),)
    assert "(a plan that is not known, then 200 steps" in used_sentence(chosen_of([went_on], unknown))
