"""Components are values: read from names, options and what older versions wrote; they say what they need and cost."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest
import torch

from apt_core.base.cost import Cost
from apt_core.base.errors import BadOption
from apt_core.base.patterns import SemiStructured, parse_pattern
from apt_core.base.shapes import LayerShape
from apt_core.jobs import Prune, make_job
from apt_core.maths.allocation import Fisher
from apt_core.maths.output_metric import by_loss
from apt_core.methods import COMPONENTS, METHODS, Statistic, make_method
from apt_core.methods.component import SLOTS, DenseModel
from apt_core.methods.masks.admm import ADMMMask
from apt_core.methods.targets.own_inputs import OwnInputs
from tests.methods.test_methods import problem

EVERY = [kind for components in COMPONENTS.values() for kind in components.values()]
HALF, TWO_FOUR = parse_pattern("0.5"), parse_pattern("2:4")


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: f"{kind.slot}-{kind.name}")
def test_a_component_says_what_a_page_needs(kind):
    assert kind.title and kind.summary.endswith(".") and kind.slot in SLOTS
    schema = kind.model_json_schema()
    assert schema["properties"]["name"] == {"const": kind.name}
    for option, field in kind.model_fields.items():
        assert field.title and field.description and not field.is_required(), option


@pytest.mark.parametrize("name", METHODS)
def test_a_method_comes_back_from_its_json(name):
    method = make_method(name)
    assert make_method(name, method.model_dump()) == METHODS[name].model_validate_json(
        method.model_dump_json()
    )
    assert method.model_dump()["name"] == name
    recipe = make_job("prune", model={"id": "x"}, method=name)
    assert Prune.model_validate_json(recipe.model_dump_json()) == recipe
    assert method.changes() == {} and method.label == method.title


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"mask": "alps"}, {"mask": "alps"}),
        ({"mask": {"name": "admm", "steps": 5}}, {"mask": "admm", "mask.steps": 5}),
        ({"mask.steps": 5, "mask": "admm"}, {"mask": "admm", "mask.steps": 5}),
        ({"mask": {"block_size": 64}}, {"mask.block_size": 64}),
        ({"mask": ADMMMask(steps=7)}, {"mask": "admm", "mask.steps": 7}),
        ({"allocation": "loss"}, {"allocation": "loss"}),
        ({"dampening": 0.1}, {"dampening": 0.1}),
    ],
)
def test_a_component_is_named_described_or_given(options, changes):
    assert make_method("apt", options).changes() == changes


def test_options_that_are_not_given_are_those_of_the_named_composition():
    assert make_method("apt-joint", {"mask": "admm"}).mask.steps == 25
    assert make_method("wanda", {"mask": "admm"}).mask.steps == 30
    assert make_method("alps", {"reconstruction": {"name": "joint"}}).reconstruction.steps == 10


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("sparsegpt", {"mask.steps": 3}, "mask sparsegpt has no option 'steps'; its options are block_size."),
        ("wanda", {"mask.steps": 3}, "mask wanda has no option 'steps'; it has none."),
        ("apt", {"mask": "aple"}, "There is no mask 'aple'; choose one of magnitude, wanda"),
        ("apt", {"mask": None}, "There is no mask 'None'; choose one of"),
        ("apt", {"mask": ["alps"]}, "There is no mask"),
        ("apt", {"allocation": OwnInputs()}, "allocation: give a name or options, not OwnInputs()"),
        ("apt", {"mask": {"block_size": 3}}, "mask apt: block_size: input should be greater"),
        ("apt", {"steps": 3}, "APT has no option 'steps'; its options are allocation, target, mask"),
        ("apt", {"name": "wanda"}, "APT"),
        ("wanda", {"budgets": 0.2}, "Wanda has no option 'budgets'"),
        ("wanda", {"block_size": 64}, "Wanda has no option 'block_size'"),
        ("apt", {"mask": "Q", "block_size": 64}, "There is no mask 'Q'"),
    ],
)
def test_what_does_not_exist_is_one_sentence_that_names_what_does(name, options, sentence):
    with pytest.raises(BadOption) as refused:
        make_method(name, options)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "flat", "changes"),
    [
        (
            "apt",
            {"mask": "S", "block_size": 128, "dampening": 0.01},
            {"mask.solution": "S", "mask.block_size": 128},
        ),
        ("apt", {"mask": "auto", "block_size": 256, "dampening": 0.01}, {}),
        ("sparsegpt", {"block_size": 64}, {"mask.block_size": 64}),
        ("d2prune", {"block_size": 128, "output_weight": 2.0}, {"mask.output_weight": 2.0}),
        (
            "wanda",
            {
                "mask": "wanda",
                "refinement": "none",
                "reconstruction": "none",
                "swaps": 25,
                "solver_steps": 20,
            },
            {},
        ),
        (
            "wanda",
            {"refinement": "sparseswaps", "swaps": 3, "reconstruction": "joint", "solver_steps": 5},
            {
                "refinement": "sparseswaps",
                "refinement.swaps": 3,
                "reconstruction": "joint",
                "reconstruction.steps": 5,
            },
        ),
        (
            "apt-joint",
            {"dense_share": 0.3, "loss_share": 1, "budgets": 0.1, "solver_steps": 4, "mask_steps": 9},
            {
                "target.share": 0.3,
                "target.sensitivity": 1,
                "allocation.max_deviation": 0.1,
                "reconstruction.steps": 4,
                "mask.steps": 9,
            },
        ),
        (
            "ria",
            {"mask": "ria", "swaps": 25, "solver_steps": 20, "dampening": 0.01},
            {"mask.comparison": "row"},
        ),
        ("apt-joint", {"budgets": 0.0}, {"allocation": "uniform"}),
        ("apt-joint", {"loss_share": "0"}, {"target.sensitivity": 0, "allocation": "uniform"}),
        ("apt-joint", {"mask": "alps", "mask_steps": 25}, {"mask": "alps"}),
    ],
)
def test_options_of_older_versions_mean_the_same(name, flat, changes):
    assert make_method(name, flat).changes() == changes


def test_needs_follow_the_options():
    gradients, dense = Statistic.OUTPUT_GRADIENTS, Statistic.DENSE_STREAM
    assert make_method("magnitude").needs == frozenset()
    assert make_method("wanda").needs == {Statistic.MOMENTS}
    assert {gradients, dense} <= make_method("apt-joint").needs
    assert not {gradients, dense} & make_method("alps").needs
    assert gradients in make_method("alps", {"allocation": "loss"}).needs
    assert dense not in make_method("apt-joint", {"target.share": 0}).needs
    own = make_method("apt-joint", {"target": "own-inputs"})
    assert gradients in own.needs_for(HALF) and gradients not in own.needs_for(TWO_FOUR)
    assert gradients in make_method("apt-joint").needs_for(TWO_FOUR)  # its target needs them too


def test_ria_compares_within_the_matrix_or_within_rows():
    """By the scores of the paper's equations 4 and 5, written anew."""
    weight, stats = problem()
    size, moments = weight.abs().double(), stats.gram.diagonal().double()
    scores = (size / size.sum(1, keepdim=True) + size / size.sum(0)) * moments.sqrt().sqrt()
    matrix = make_method("ria").prune(weight, stats, HALF).pruned
    assert scores[matrix].max() <= scores[~matrix].min() * (1 + 1e-5)
    rows = make_method("ria", {"mask.comparison": "row"}).prune(weight, stats, HALF).pruned
    assert (rows.sum(1) == 48).all() and not (matrix.sum(1) == 48).all()
    for gone, score in zip(rows, scores, strict=True):
        assert score[gone].max() <= score[~gone].min() * (1 + 1e-5)


def test_the_loss_allocation_spends_exactly_what_was_asked_and_only_where_the_pattern_lets_it():
    torch.manual_seed(0)
    costs = {}
    for key, rows, columns, gradient in (((0, "quiet"), 40, 30, 0.1), ((1, "loud"), 20, 50, 1.0)):
        fisher = Fisher(rows, columns)
        fisher.add_(torch.full((1, rows), gradient), torch.ones(1, columns))
        costs[key] = fisher.cost(torch.randn(rows, columns))
    allocation = make_method("alps", {"allocation": {"name": "loss", "max_deviation": 0.1}}).allocation
    dense = DenseModel({key: cost.weights for key, cost in costs.items()}, costs)
    shares = allocation.shares(dense, HALF)
    assert shares[0, "quiet"] > shares[1, "loud"]
    assert all(0.4 - 1e-3 <= share <= 0.6 + 1e-3 for share in shares.values())
    assert sum(round(share * costs[key].weights) for key, share in shares.items()) == 1100
    assert allocation.shares(dense, TWO_FOUR) is None and not allocation.varies(TWO_FOUR)
    none = make_method("alps", {"allocation": {"name": "loss", "max_deviation": 0}}).allocation
    assert none.shares(dense, HALF) is None and not none.needs
    assert make_method("alps").allocation.shares(dense, HALF) is None


def test_gradients_for_the_allocation_alone_leave_the_objective_alone():
    """With the own inputs as target all outputs count alike, whatever was measured of the loss."""
    weight, stats = problem()
    gradients = torch.randn(24, 24)
    method = make_method("apt-joint", {"target": "own-inputs"})
    plain = method.prune(weight, stats, HALF)
    measured = method.prune(weight, stats.with_sensitivity(by_loss(gradients @ gradients.T, 1.0)), HALF)
    assert torch.equal(plain.weight, measured.weight)
    aimed = make_method("apt-joint").prune(
        weight, stats.with_sensitivity(by_loss(gradients @ gradients.T, 1.0)), HALF
    )
    assert not torch.equal(aimed.weight, plain.weight)


@pytest.mark.parametrize(("kind", "pattern"), list(product(EVERY, (HALF, TWO_FOUR))))
def test_costs_are_finite_and_grow_with_the_layer(kind, pattern):
    small, large = (LayerShape(name="x", out_features=n, in_features=n) for n in (256, 512))
    one, two = kind().cost(small, 1000, pattern), kind().cost(large, 1000, pattern)
    assert all(0 <= a <= b < float("inf") for a, b in zip(one, two, strict=True))


def test_a_composition_costs_what_its_components_do():
    shape = LayerShape(name="x", out_features=128, in_features=64)
    optima = make_method("optima").cost(shape, 1000, HALF)
    assert make_method("wanda", {"reconstruction": "exact"}).cost(shape, 1000, HALF) == optima
    parts = [part.cost(shape, 1000, HALF) for part in make_method("optima").components.values()]
    assert optima.factorisations == sum(part.factorisations for part in parts) > 0
    assert optima.peak == max(part.peak for part in parts)


def test_costs_add_up_and_memory_does_not():
    assert Cost(products=2, peak=8) + Cost(products=3, sorted=1, peak=4) == Cost(products=5, sorted=1, peak=8)
    assert Cost(products=2, moved=3, peak=8).times(3) == Cost(products=6, moved=9, peak=8)


def test_more_kept_weights_make_the_exact_solution_dearer():
    exact, shape = (
        COMPONENTS["reconstruction"]["exact"](),
        LayerShape(name="x", out_features=8, in_features=64),
    )
    dear, cheap = (exact.cost(shape, 1, SemiStructured(keep=keep, of=4)).factorisations for keep in (3, 1))
    assert dear == pytest.approx(27 * cheap)


def test_options_are_read_without_torch():
    code = (
        "import sys; from apt_core.methods import METHODS, make_method; "
        "[make_method(name).cost for name in METHODS]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
