"""What a title may say of the error of layers: found where it was planted, and not in noise."""

import math
import random
import sys
from pathlib import Path

import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent.parent / "ui"))

from ui_helpers import a_record

from apt_core.events import LayerPruned
from apt_core.plots import findings, layer_error
from apt_core.plots.chart import RunSet
from apt_core.plots.findings import leading_kind, lone_layer, trend

KINDS = ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj")


def layers(blocks=30, seed=0, noise=0.5, shape=lambda block, kind: 0.01, kinds=KINDS):
    """Errors of log-normal noise around `shape`."""
    draw = random.Random(seed)
    return tuple(
        LayerPruned(
            block=block,
            layer=kind,
            shape=(8, 8),
            removed=32,
            sparsity=0.5,
            relative_error=shape(block, kind) * math.exp(noise * draw.gauss(0, 1)),
            pattern_valid=True,
            dampening=0.01,
            seconds=0.1,
        )
        for block in range(blocks)
        for kind in kinds
    )


def title(of):
    return layer_error.title(RunSet(a_record().model_copy(update={"layers": of})))


def test_a_planted_trend_is_found_with_its_size():
    found = trend(layers(shape=lambda block, kind: 0.01 * 8 ** (block / 29), noise=0.3))
    assert 5 < found.factor < 12 and (found.first, found.last) == (0, 29)
    down = trend(layers(shape=lambda block, kind: 0.01 * 8 ** (-block / 29), noise=0.3))
    assert 1 / 12 < down.factor < 1 / 5


def test_noise_makes_no_trend_and_no_leader_but_for_the_stated_share():
    runs = [layers(seed=seed) for seed in range(200)]
    assert sum(trend(run) is not None for run in runs) <= 7, "about 1% of 200"
    assert sum(leading_kind(run) is not None for run in runs) <= 7


def test_two_end_blocks_that_differ_are_no_trend():
    """The middle says nothing of the kind, so neither does the title."""
    ends = {0: 2.0, 29: 0.5}
    even = layers(shape=lambda block, kind: 0.01 * ends.get(block, 1.0), noise=0.2)
    assert trend(even) is None and "from block" not in title(even)


def test_a_trend_too_small_to_matter_is_even():
    assert trend(layers(shape=lambda block, kind: 0.01 * 1.1 ** (block / 29), noise=0.001)) is None


def test_blocks_of_another_kind_make_no_trend():
    """As in a hybrid: the later half of the blocks has layers that are ten times as hard."""
    early = layers(blocks=15, kinds=("mixer.in_proj",), noise=0.3)
    late = layers(blocks=30, kinds=("mlp.up_proj",), noise=0.3, shape=lambda block, kind: 0.1)
    assert trend((*early, *(layer for layer in late if layer.block >= 15))) is None


def test_the_kind_in_which_the_error_lies_is_named():
    found = layers(shape=lambda block, kind: 0.03 if kind == "mlp.down_proj" else 0.01)
    assert leading_kind(found) == "mlp.down_proj"
    assert title(found) == "Errors are largest in the down projections"


def test_one_layer_far_from_the_rest_is_named():
    hard = (1, "mlp.down_proj")
    found = layers(shape=lambda block, kind: 5.0 if (block, kind) == hard else 0.01, noise=0.2)
    alone = lone_layer(found)
    assert (alone.block, alone.layer) == hard
    assert title(found).startswith("One layer is far from the rest: block 1, down (")
    two = layers(shape=lambda block, kind: 5.0 if block == 1 and "mlp" in kind else 0.01, noise=0.2)
    assert lone_layer(two) is None


def test_findings_are_one_sentence():
    grows = layers(
        shape=lambda block, kind: 0.01 * (3 if "down" in kind else 1) * 2 ** (block / 29), noise=0.1
    )
    assert (
        title(grows) == "Error grows twofold from block 0 to 29; errors are largest in the down projections"
    )


@pytest.mark.parametrize("of", [(), layers(blocks=1), layers(blocks=2, noise=0), layers(blocks=5, noise=0)])
def test_few_or_equal_errors_are_no_findings(of):
    assert trend(of) is None and leading_kind(of) is None and lone_layer(of) is None


def test_exact_zeros_are_left_out():
    zero = tuple(layer.model_copy(update={"relative_error": 0.0}) for layer in layers(blocks=3))
    assert trend(zero) is None and leading_kind(zero) is None and lone_layer(zero) is None
    assert title(zero) == "Error of each layer"


@pytest.mark.parametrize(
    "counts", [(0, 0), (7, 0), (8, 0), (6, 0), (21, 3), (13, 11), (125, 85), (120, 90), (600, 400)]
)
def test_the_sign_test_is_that_of_scipy(counts):
    more, less = counts
    sure = more + less > 0 and stats.binomtest(more, more + less).pvalue < 0.01
    assert findings.lopsided(more, less) == findings.lopsided(less, more) == sure
