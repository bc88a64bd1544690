"""What several runs will take together."""

import pytest

from apt_core.estimate.preflight import Estimate, estimate
from apt_core.jobs import ModelRef
from apt_core.jobs.space import make_space
from apt_core.models.catalogue.facts import model_facts
from apt_core.runs.executors import executor_of
from apt_core.studies.race import line_up
from apt_core.studies.study_estimate import together
from tests.ui.ui_helpers import a_recipe

FACTS = model_facts(ModelRef(id="tiny-random-llama"))
RECIPES = line_up(a_recipe(), ["sparsegpt", "apt-joint"])


def needs(**changes):
    return [estimate(recipe, FACTS).model_copy(update=changes) for recipe in RECIPES]


def test_a_single_run_keeps_its_estimate():
    one = needs()[:1]
    assert together(RECIPES[:1], one, FACTS) is one[0]


def test_times_add_up_but_the_dense_model_is_measured_once():
    each = needs()
    total = together(RECIPES, each, FACTS)
    dense = sum(one.parts["dense_eval"] for one in each[1:])
    assert total.seconds == pytest.approx(sum(one.seconds for one in each) - dense)
    assert total.memory_bytes == max(one.memory_bytes for one in each)
    waiting = (
        max(one.disk_bytes for one in each) - each[0].disk_bytes
    )  # the gradients of APT joint, while it runs
    assert total.disk_bytes == 3 * each[0].disk_bytes + waiting and waiting > 0 and total.refusal is None
    assert "APT joint about" in total.sentences[0] and "3 pruned models" in total.sentences[-1]


def test_one_refusal_refuses_the_race_and_names_the_method():
    each = needs()
    each[1] = each[1].model_copy(update={"refusal": "This needs about 9 GB of memory, but 1 GB are free."})
    label = RECIPES[1].method.label
    assert together(RECIPES, each, FACTS).refusal == f"{label} cannot take part: {each[1].refusal}"


def test_what_none_of_them_can_do_names_nobody():
    assert together(RECIPES, needs(refusal="No window fits."), FACTS).refusal == "No window fits."


def test_together_they_may_need_more_disk_than_there_is():
    facts = FACTS.model_copy(update={"bytes_on_disk": 10**15})
    assert "of disk, but" in together(RECIPES, needs(), facts).refusal


def test_a_model_of_unknown_size_has_no_time():
    assert together(RECIPES, [Estimate(sentences=("Not known.",))] * 3, FACTS).seconds is None


def test_runs_of_a_grid_share_the_gradients_of_their_calibration_set():
    space = make_space(a_recipe(), methods=("apt-joint",), patterns=(0.3, 0.5), seeds=(0, 1))
    jobs = space.expand().jobs
    each = [estimate(job, FACTS) for job in jobs]
    total = together(jobs, each, FACTS)
    once = sum(one.parts["dense_eval"] for one in each[1:])
    # in the order of the axes: 30% seed 0, 30% seed 1, 50% seed 0, 50% seed 1
    shared = sum(one.parts["gradients"] for one in each[2:])
    assert shared > 0
    assert total.seconds == pytest.approx(sum(one.seconds for one in each) - once - shared)
    assert any("gradients" in said and "once" in said for said in total.sentences)
    assert "30%" in total.sentences[0] and "50%" in total.sentences[0]


def test_runs_at_once_on_the_same_cores_take_as_long_as_one_after_another_and_more_memory():
    each = needs()
    alone, beside = together(RECIPES, each, FACTS), together(RECIPES, each, FACTS, at_once=2)
    assert beside.seconds == alone.seconds and (alone.at_once, beside.at_once) == (1, 2)
    assert beside.memory_bytes == sum(sorted(one.memory_bytes for one in each)[-2:])
    assert any("2 at a time" in said for said in beside.sentences)
    assert any("share the cores" in said for said in beside.sentences)
    assert not any("share the cores" in said for said in alone.sentences)
    assert together(RECIPES, each, FACTS, at_once=9).at_once == 3
    assert together(RECIPES, each, FACTS, asked_by_results=True, at_once=2).at_once == 1


def test_runs_with_a_gpu_each_take_the_first_that_is_free():
    each = [
        one.model_copy(update={"seconds": at, "parts": {}})
        for one, at in zip(needs(), (5, 3, 4), strict=True)
    ]
    assert together(RECIPES, each, FACTS, at_once=2, apart=True).seconds == 7
    assert together(RECIPES, each, FACTS, at_once=3, apart=True).seconds == 5
    assert together(RECIPES, each, FACTS, at_once=1, apart=True).seconds == 12


def test_tasks_of_a_cluster_slow_nobody_down_and_each_has_the_memory_of_a_node():
    """They were said to share the cores, to take the sum of all times, and the memory of all nodes together."""
    each = needs()
    places = executor_of({"APT_EXECUTOR": "ray", "APT_AT_ONCE": "3"}).places()
    alone, total = together(RECIPES, each, FACTS), together(RECIPES, each, FACTS, False, *places)
    assert total.at_once == 3 and total.seconds < alone.seconds
    assert total.memory_bytes == max(one.memory_bytes for one in each)
    assert not any("share the cores" in said for said in total.sentences)
    assert any("for each run, on its node of the cluster" in said for said in total.sentences)


def test_many_runs_are_said_by_their_shortest_and_longest():
    jobs = make_space(a_recipe(), seeds=tuple(range(9))).expand().jobs
    total = together(jobs, [estimate(job, FACTS) for job in jobs], FACTS)
    assert total.sentences[0].startswith("9 runs of about ")
