"""What a job has to do follows from its parts: components, statistics, passes, texts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from apt_core.base.cost import Cost, total
from apt_core.base.shapes import LayerShape
from apt_core.estimate.machine import EPYC, XEON
from apt_core.estimate.rates import rates_of, solving_seconds
from apt_core.estimate.work import Stage, solving, stages_of
from apt_core.jobs import Evaluation, make_job, read_job
from apt_core.methods import METHODS, make_method
from apt_core.methods.component import Mask, Statistic
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import known_facts

SMOL = known_facts(CATALOGUE["smollm2-135m"])
TWO_OF_FOUR = {"kind": "n:m", "keep": 2, "of": 4}
HALF = {"kind": "unstructured", "sparsity": 0.5}


def job(method: object = "apt", **more: object):
    return make_job("prune", model={"id": "smollm2-135m"}, method=method, **more)


def stages(method: object = "apt", **more: object) -> dict[str, Stage]:
    return stages_of(job(method, **more), SMOL, "float32")


def test_costs_add_up_and_what_is_held_is_the_most():
    both = total([Cost(products=2, peak=8, calls=1), Cost(products=3, peak=4, spectra=7)])
    assert both == Cost(products=5, peak=8, calls=1, spectra=7)
    assert both.times(3) == Cost(products=15, peak=8, calls=3, spectra=21)


def test_seconds_are_the_sum_over_the_kinds_of_work():
    machine = XEON.model_copy(update={"products": 10.0, "memory": 4.0, "call": 0.5, "bfloat16": 40.0})
    cost = Cost(products=20, moved=8, calls=2, forward_products=40)
    assert machine.seconds(cost, "float32") == pytest.approx(2 + 2 + 1 + 4)
    assert machine.seconds(cost, "bfloat16") == pytest.approx(2 + 2 + 1 + 1)


@pytest.mark.parametrize("pattern", [TWO_OF_FOUR, HALF])
def test_the_same_composition_costs_the_same_under_any_name(pattern):
    composed = {"name": "wanda", "reconstruction": "exact"}
    assert stages(composed, pattern=pattern)["solve"] == stages("optima", pattern=pattern)["solve"]
    by_hand = {"name": "magnitude", "mask": "alps", "reconstruction": {"name": "joint", "steps": 10}}
    assert stages(by_hand, pattern=pattern)["solve"] == stages("alps", pattern=pattern)["solve"]


def test_a_component_that_nobody_knows_is_counted_by_its_own_words():
    class Sorting(Mask):
        name = "sorting-of-a-test"

        def cost(self, shape, tokens, pattern):
            return Cost(sorted=1000.0 * shape.weights)

    method = make_method("magnitude").model_copy(update={"mask": Sorting()})
    plain = job("magnitude")
    odd = plain.model_copy(update={"method": method})
    found = stages_of(odd, SMOL, "float32")["solve"].cost
    assert found.sorted == pytest.approx(1000 * SMOL.prunable) and found.products == 0


def test_factorisations_count_once_per_distinct_input():
    method, pattern = make_method("sparsegpt"), job().pattern
    shapes = [LayerShape(name=name, out_features=8, in_features=64, reads="q") for name in "qkv"]
    own = sum(method.cost(shape, 100, pattern).factorisations for shape in shapes)
    once = Statistic.INVERSE_FACTOR.cost(64).factorisations
    assert solving(method, shapes, 100, pattern).factorisations == pytest.approx(own + once)
    apart = [shape.model_copy(update={"reads": shape.name}) for shape in shapes]
    assert solving(method, apart, 100, pattern).factorisations == pytest.approx(own + 3 * once)


# What one thread of a Xeon with float32 products at 194 GFLOP/s took for one layer, in CPU milliseconds:
# [576, 576], [1536, 576] and [576, 1536], 2:4 and 50%. Of random weights, the statistics' factorisations apart.
MEASURED = {
    "magnitude": ((2.1, 5.6, 5.6), (5.6, 16.6, 13.1)),
    "wanda": ((2.4, 5.8, 5.7), (6.3, 17.0, 16.8)),
    "ria": ((2.9, 7.4, 7.1), (5.6, 16.8, 15.6)),
    "sparsegpt": ((25.4, 45.4, 76.2), (20.8, 37.7, 61.3)),
    "d2prune": ((30.2, 54.5, 96.9), (23.0, 44.9, 78.5)),
    "apt": ((65.8, 182.5, 136.3), (56.8, 168.8, 100.8)),
    "thanos": ((49.1, 148.5, 90.7), (61.4, 180.1, 138.7)),
    "admm": ((156.6, 467.0, 730.9), (136.5, 344.3, 608.3)),
    "alps": ((245.2, 589.9, 2022.5), (364.6, 902.5, 2346.4)),
    "apt-joint": ((156.3, 395.6, 1025.7), (121.6, 298.0, 865.2)),
    "optima": ((373.0, 973.2, 3464.5), (410.9, 1097.1, 3603.6)),
    "sparseswaps": ((901.2, 1902.7, 6745.2), (371.4, 1085.9, 983.5)),
}
ONE_THREAD = XEON.model_copy(
    update={
        "products": 194e9, "rounded": 779e9, "bfloat16": 1590e9, "factorisations": 48e9, "spectra": 115e9,
        "selections": 78e6, "memory": 28e9, "call": 1.9e-6,
    }
)  # fmt: skip
SHAPES = [
    LayerShape(name="x", out_features=out, in_features=width)
    for out, width in ((576, 576), (1536, 576), (576, 1536))
]


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_takes_about_what_was_measured(method):
    assert method in MEASURED, "measure it: CPU seconds of one layer"
    for pattern, measured in zip((TWO_OF_FOUR, HALF), MEASURED[method], strict=True):
        asked = job(method, pattern=pattern)
        said = [
            ONE_THREAD.seconds(asked.method.cost(shape, 16384, asked.pattern), "float32") for shape in SHAPES
        ]
        for one, milliseconds in zip(said, measured, strict=True):
            assert 1e3 * one == pytest.approx(milliseconds, rel=0.4), (method, pattern)
        # over a block's layers, which is what a run takes
        assert 1e3 * sum(said) == pytest.approx(sum(measured), rel=0.25), (method, pattern)


@pytest.mark.parametrize("machine", [XEON, EPYC])
def test_methods_are_in_the_order_that_one_knows(machine):
    rates = rates_of(machine)
    for pattern in (job(pattern=TWO_OF_FOUR).pattern, job(pattern=HALF).pattern):
        quick, block_wise, whole = (
            solving_seconds(make_method(name), SMOL.layers, pattern, rates)
            for name in ("wanda", "apt", "alps")
        )
        assert 3 * quick < block_wise and 3 * block_wise < whole


def test_an_allocation_by_the_loss_takes_gradients_with_any_mask_and_only_unstructured():
    by_loss = {"name": "alps", "allocation": "loss"}
    assert stages("alps", pattern=HALF)["gradients"] == Stage()
    assert stages(by_loss, pattern=HALF)["gradients"].cost.forward_products > 0
    stored = read_job(job(by_loss, pattern=HALF).model_dump() | {"pattern": job(pattern=TWO_OF_FOUR).pattern})
    assert stages_of(stored, SMOL, "float32")["gradients"] == Stage()


def test_two_passes_take_one_more_forward():
    once = stages()["forward"].cost.forward_products
    twice = stages_of(job(), SMOL, "float32", walk="two-pass")["forward"].cost.forward_products
    assert twice == pytest.approx(2 * once)


def test_a_job_that_only_measures_opens_and_evaluates_each_text():
    texts = (Evaluation(samples=4, length=512), Evaluation(samples=8, length=512))
    asked = SimpleNamespace(kind="evaluate", evaluation=texts, dtype="auto", weights="auto")
    found = stages_of(asked, SMOL, "float32")
    assert set(found) == {"start", "convert", "load", "evaluate"}
    of_a_run = stages(evaluation={"samples": 12, "length": 512})["dense_eval"]
    assert found["evaluate"].cost.forward_products == pytest.approx(of_a_run.cost.forward_products)


def test_blocks_that_differ_count_as_often_as_there_are_weights():
    """Half of the blocks have no such layers, as in a hybrid model."""
    half = SMOL.model_copy(update={"prunable": SMOL.prunable // 2})
    assert stages_of(job(), half, "float32")["solve"].cost.products == pytest.approx(
        stages()["solve"].cost.products / 2
    )
