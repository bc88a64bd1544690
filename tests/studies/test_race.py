"""Who races whom: what is lined up, and which runs were asked for the same."""

import pytest

from apt_core.base.errors import BadInput
from apt_core.jobs import make_job
from apt_core.studies.race import line_up, race_of, whole_blocks
from tests.ui.ui_helpers import a_recipe, a_record


def run(method, place, upto="finished", **changes):
    return a_record(upto, run_id=f"20261124-0900{place:02}-0000", recipe=a_recipe(method=method, **changes))


def names(race):
    return [member.job.method.name for member in race.members]


def test_the_chosen_method_is_first_and_races_once():
    recipe = a_recipe(method="wanda", seed=3)
    lined_up = line_up(recipe, ["magnitude", "wanda", "apt", "magnitude"])
    assert [one.method.name for one in lined_up] == ["wanda", "apt", "magnitude"]
    assert lined_up[0] is recipe and all(one.seed == 3 for one in lined_up)
    with pytest.raises(BadInput, match="There is no method 'apple' to race; choose from apt, "):
        line_up(recipe, ["apple"])


def test_runs_that_were_asked_for_the_same_race_in_the_order_of_the_registry():
    shown = run("wanda", 1)
    race = race_of(shown, [run("apt", 3, "layers"), run("magnitude", 2, "queued"), shown])
    assert names(race) == ["apt", "wanda", "magnitude"] and race.id == shown.id and race.live
    assert [member.job.method.name for member in race.ranking] == ["wanda"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"id": "smollm2-135m"}},
        {"pattern": {"kind": "n:m", "keep": 4, "of": 8}},
        {"calibration": {"samples": 5}},
        {"evaluation": {"length": 64}},
        {"seed": 1},
    ],
)
def test_whoever_was_asked_for_something_else_does_not_race(change):
    shown = run("apt", 1)
    assert race_of(shown, [run("wanda", 2, **change), shown]) is None


def test_options_device_and_memory_may_differ_and_precision_may_not():
    shown = run("apt", 1)
    assert race_of(shown, [run({"name": "sparsegpt", "dampening": 0.1}, 2, device="cpu", weights="disk")])
    assert race_of(shown, [run("sparsegpt", 2, dtype="float32")]) is None


def in_study(record, study="20261124-090000-1111"):
    return record.model_copy(update={"study": study})


def test_a_stored_race_holds_all_its_runs_whatever_became_of_them_and_no_others():
    shown = in_study(run("apt", 1))
    small = in_study(run({"name": "apt", "block_size": 64}, 2))  # differs only in options
    failed = in_study(run("wanda", 3)).model_copy(update={"status": "failed"})
    alone, elsewhere = run("sparsegpt", 4), in_study(run("sparsegpt", 5), "20261124-090000-2222")
    race = race_of(shown, [elsewhere, alone, failed, small, shown])
    assert {member.id for member in race.members} == {shown.id, small.id, failed.id}
    assert race_of(alone, [shown, small, elsewhere, alone]) is None


def test_runs_that_only_measure_do_not_race():
    measured = run("apt", 1).model_copy(
        update={"job": make_job("evaluate", model={"id": "tiny-random-llama"})}
    )
    assert race_of(measured, [run("wanda", 2)]) is None
    assert race_of(run("apt", 3), [measured]) is None


def test_the_newest_run_of_a_label_counts_and_those_that_failed_do_not():
    shown, old, new = run("apt", 1), run("wanda", 2), run("wanda", 4)
    failed = run("wanda", 5).model_copy(update={"status": "failed"})
    stopped = run("magnitude", 6).model_copy(update={"status": "cancelled"})
    race = race_of(shown, [stopped, failed, new, old, run("apt", 9)])
    assert [member.id for member in race.members] == [shown.id, new.id] and not race.live
    assert race_of(shown, [failed, stopped]) is None


def test_another_composition_of_a_method_is_a_rival_of_its_own():
    shown = run("apt-joint", 1)
    other = run({"name": "apt-joint", "mask": "wanda"}, 2)
    assert [member.id for member in race_of(shown, [other, shown]).members] == [shown.id, other.id]


def test_only_whole_blocks_are_compared():
    record = a_record("layers", blocks=2)
    assert whole_blocks(record) == {0: pytest.approx(0.02), 1: pytest.approx(0.04)}
    half = record.model_copy(update={"layers": record.layers[:4]})
    assert list(whole_blocks(half)) == [0]
    assert list(whole_blocks(half.model_copy(update={"status": "cancelled"}))) == [0]
    finished = half.model_copy(update={"status": "finished"})  # its other layers saw no tokens
    assert list(whole_blocks(finished)) == [0, 1]
    assert whole_blocks(a_record("queued")) == {}
