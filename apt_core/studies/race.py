"""A race: several methods, each given the very same model, pattern, texts and seed. No torch.

Runs belong to one race when their recipes ask for the same; nobody has to write down which were started together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.methods import METHODS, make_method
from apt_core.studies.compare import same_task

_OUT = ("failed", "cancelled")


class Race(NamedTuple):
    """The run that is shown and its rivals; `members` holds all of them, in the order of the registry."""

    shown: RunRecord
    members: tuple[RunRecord, ...]

    @property
    def id(self) -> str:
        return self.shown.id

    @property
    def live(self) -> bool:
        return any(member.live for member in self.members)

    @property
    def ranking(self) -> list[RunRecord]:
        """Those whose perplexity is known, the best first."""
        measured = [member for member in self.members if member.pruned]
        return sorted(measured, key=lambda member: member.pruned.perplexity)


def line_up(recipe: Prune, names: Any) -> list[Prune]:
    """The recipe, then one for every rival in the order of the registry: all else the same, default options.

    The method of `recipe` is not its own rival. Raises BadInput with one sentence for what is no method.
    """
    for name in _listed(names):
        if not isinstance(name, str) or name not in METHODS:
            raise BadInput(
                f"There is no method '{str(name)[:40]}' to race; choose from {', '.join(METHODS)}."
            )
    rivals = [name for name in METHODS if name in _listed(names) and name != recipe.method.name]
    return [recipe, *(recipe.model_copy(update={"method": make_method(name)}) for name in rivals)]


def race_of(shown: RunRecord, others: Iterable[RunRecord]) -> Race | None:
    """The race in which `shown` takes part, None when nobody else was asked for the same.

    others: newest first. Of every method label the newest run counts, live or finished, and `shown` for its own.
    """
    if not isinstance(shown.job, Prune):
        return None
    found = {shown.job.method.label: shown}
    for other in others:
        if other.status not in _OUT and same_task(other, shown):
            found.setdefault(other.job.method.label, other)
    if len(found) < 2:
        return None
    place = list(METHODS).index
    members = sorted(found.items(), key=lambda item: (place(item[1].job.method.name), item[0]))
    return Race(shown, tuple(member for _, member in members))


def whole_blocks(record: RunRecord) -> dict[int, float]:
    """Block -> mean relative error of its layers, for the blocks that are done: layers of one block differ by
    kind, so the mean of a part of them would jump about."""
    errors: dict[int, list[float]] = {}
    for layer in record.layers:
        errors.setdefault(layer.block, []).append(layer.relative_error)
    per_block = len(record.model.layers) if record.model else 0
    last = max(errors, default=-1)
    done = {
        block: of
        for block, of in errors.items()
        if block < last or pruned_whole(record) or len(of) == per_block
    }
    return {block: sum(of) / len(of) for block, of in sorted(done.items())}


def pruned_whole(record: RunRecord) -> bool:
    """Whether every layer has been pruned, so that means over all of them compare."""
    return record.pruned is not None or record.status == "finished"


def _listed(names: Any) -> list[Any]:
    if names is None:
        return []
    if not isinstance(names, list | tuple):
        raise BadInput("Choose the methods to race from the list.")
    return list(names)
