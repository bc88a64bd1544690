"""How a search compares its candidates: inside the dense model, cut alone or compensated as well."""

from __future__ import annotations

from collections.abc import Generator

from torch import Tensor

from apt_core.base.errors import BadInput
from apt_core.events import Event, Warned
from apt_core.execute.more_dampening import with_dampening
from apt_core.execute.search_space import Space
from apt_core.execute.shrink_given import Given, reporting
from apt_core.families import Layer
from apt_core.maths.hessian import LayerStats
from apt_core.maths.least_squares import inverse_gram
from apt_core.maths.zeros import not_zeroed
from apt_core.methods.searching.evolution import Evolution
from apt_core.models.load.tensor_store import TensorStore
from apt_core.passes.masked import Judge
from apt_core.passes.reformed import InverseGrams, reforming
from apt_core.passes.runner import Runner


def check_judge(given: Given, evolution: Evolution, space: Space) -> None:
    """Raise BadInput where candidates would be compensated by weights that an earlier run set to zero."""
    if evolution.judge == "masked":
        return
    names, store = _compensated(space), given.opened.store
    for index in range(len(store.blocks)):
        own = [layer for layer in given.opened.layers if layer.block == index and layer.name in names]
        with store.block(index):
            zeroed = any(not_zeroed(layer.matrix) is not None for layer in own)
        if zeroed:
            raise BadInput(
                "An earlier run set single weights of this model to zero, and compensated candidates would fill them; "
                "choose judge=masked, or search the dense model and prune what is found."
            )


def judge_of(
    given: Given, evolution: Evolution, space: Space, held_out: Tensor, inverses: TensorStore
) -> Generator[Event, None, Judge]:
    """inverses: where what compensated candidates need waits; the judge reads it as long as it is asked."""
    opened = given.opened
    inside = opened.model, opened.store, held_out, given.entering(held_out), given.batch
    if evolution.judge == "masked":
        return Judge(*inside)
    names = _compensated(space)
    layers = [layer for layer in opened.layers if layer.name in names]
    yield from _inverted(given, evolution.dampening, layers, inverses)
    return Judge(*inside, reforming(layers, inverses))


def _compensated(space: Space) -> set[str]:
    """The output projections, by name."""
    return {one.members[-1].layer for one in space.structures}


def _inverted(
    given: Given, dampening: float, layers: list[Layer], inverses: TensorStore
) -> Generator[Event, None, None]:
    """The first calibration windows pass the dense model."""
    warned: list[Warned] = []

    def invert(layer: Layer, stats: LayerStats) -> Tensor:
        inverse, said = with_dampening(lambda used: inverse_gram(stats.gram, used), dampening, layer)
        warned.extend(said)
        return inverse

    yield given.progress("embedding the calibration text")
    entering, batch, store = (
        given.entering(given.first),
        min(given.batch, len(given.first)),
        given.opened.store,
    )
    look = InverseGrams(entering.states, batch, layers, invert, inverses)
    total, clock = len(store.blocks) * -(-len(given.first) // batch), given.context.clock
    steps = (step for step in Runner(store, entering).run(look))
    yield from reporting(steps, given, "what output projections read", total, clock, "forward")
    yield from warned
