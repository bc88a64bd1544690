"""Which fields of jobs differ, over jobs of any kind, and what may be said of files."""

from apt_core.base.policy import PRIVATE, STRICT
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.studies.differing import differing_fields, fields_of
from apt_core.studies.names import names_of
from tests.ui.ui_helpers import a_recipe

ONE, TWO, THREE = (f"20261124-10000{place}-abcd" for place in range(3))


def run(run_id, **changes):
    return RunRecord(id=run_id, job=a_recipe(**changes))


def measuring(run_id, **changes):
    return RunRecord(id=run_id, job=make_job("evaluate", **{"model": {"id": "tiny-random-llama"}} | changes))


def test_a_field_that_differs_has_the_value_of_every_run_and_the_rest_is_shared():
    found = differing_fields([run(ONE), run(TWO, calibration={"samples": 8}), run(THREE)])
    assert found.differing == {"calibration.samples": {ONE: 32, TWO: 8, THREE: 32}}
    assert found.shared["pattern"] == "2:4" and found.shared["method.mask.block_size"] == 256
    assert set(found.shared) | set(found.differing) == set(fields_of(run(ONE).job))


def test_another_method_differs_in_its_components_and_their_options():
    found = differing_fields([run(ONE), run(TWO, method={"name": "apt", "block_size": 64})]).differing
    assert found == {"method.mask.block_size": {ONE: 256, TWO: 64}}
    found = differing_fields(
        [run(ONE), run(TWO, method="wanda", pattern={"kind": "n:m", "keep": 4, "of": 8})]
    )
    assert found.differing["method"] == {ONE: "apt", TWO: "wanda"}
    assert found.differing["method.mask.block_size"] == {ONE: 256, TWO: None}, "Wanda's mask has none"
    assert found.differing["pattern"] == {ONE: "2:4", TWO: "4:8"}


def test_a_field_that_stands_empty_in_the_later_of_two_kinds_is_left_out():
    """A pruned model and its recovery, whose `resume` is empty: looking it up in the first failed."""
    recovered = RunRecord(id=TWO, job=make_job("recover", model={"id": f"run:{ONE}"}, method="spp"))
    found = differing_fields([run(ONE), recovered])
    assert fields_of(recovered.job)["resume"] is None
    assert "resume" not in found.shared and "resume" not in found.differing


def test_jobs_of_several_kinds_are_laid_beside_one_another():
    found = differing_fields([run(ONE), measuring(TWO)])
    assert found.differing["kind"] == {ONE: "prune", TWO: "evaluate"}
    assert found.differing["seed"] == {ONE: 0, TWO: None}
    assert found.shared["model.id"] == "tiny-random-llama" and found.shared["evaluation.samples"] == 12
    assert next(iter(found.differing)) == "kind", "the most telling first"


def test_several_texts_are_one_field():
    texts = [{"text": "wikipedia"}, {"text": "wiki-sample"}]
    found = differing_fields([run(ONE), run(TWO, evaluation=texts)])
    assert found.differing == {"evaluation.text": {ONE: "wikipedia", TWO: ["wikipedia", "wiki-sample"]}}


def test_on_a_public_host_files_are_named_without_folders_and_still_differ():
    one, two = (run(run_id, calibration={"text": f"/home/{run_id}/my.txt"}) for run_id in (ONE, TWO))
    assert differing_fields([one, two], STRICT).differing == {
        "calibration.text": {ONE: "my.txt", TWO: "my.txt"}
    }
    open_ = differing_fields([one, two], PRIVATE).differing["calibration.text"]
    assert open_ == {ONE: f"/home/{ONE}/my.txt", TWO: f"/home/{TWO}/my.txt"}


def test_runs_are_called_as_shortly_as_they_can_be_told_apart():
    assert names_of([run(ONE), run(TWO, method="wanda")]) == {ONE: "APT · 2:4", TWO: "Wanda · 2:4"}
    assert names_of([run(ONE), run(TWO, seed=7)]) == {ONE: "APT · 2:4, seed 0", TWO: "APT · 2:4, seed 7"}
    assert names_of([run(ONE), run(TWO)]) == {
        ONE: "APT · 2:4, run 100000-abcd",
        TWO: "APT · 2:4, run 100001-abcd",
    }
    other = names_of([run(ONE), run(TWO, model={"id": "tiny-llama"})])
    assert other[TWO] == "Tiny Llama · APT · 2:4" and other[ONE].endswith("· APT · 2:4")
    assert names_of([run(ONE), measuring(TWO)])[TWO] == "Tiny random Llama"
    many = names_of([run(f"20261124-1000{place:02}-abcd", seed=place % 3) for place in range(12)])
    assert len(set(many.values())) == 12


def test_rounded_models_are_told_apart_by_their_bits_and_nothing_is_called_none():
    """A rounded evaluation has no seed, which is no reason to say so beside the run that it is named like."""

    def rounded(run_id, bits, **changes):
        job = make_job("evaluate", model={"id": "tiny-random-llama"}, rounding={"bits": bits})
        return RunRecord(id=run_id, job=job, **changes)

    three = "20261124-100002-abcd"
    assert names_of([run(ONE), rounded(TWO, "4"), rounded(three, "8")]) == {
        ONE: "APT · 2:4",
        TWO: "Tiny random Llama, 4 bits",
        three: "Tiny random Llama, 8 bits",
    }
    alike = run(TWO, method="wanda").model_copy(update={"job": measuring(TWO).job})
    named = names_of([run(ONE), run(three, seed=3), alike])
    assert not any("None" in name for name in named.values())
