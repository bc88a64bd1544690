"""A race: several methods, each given the very same model, pattern, texts and seed. No torch.

A race is a stored study of the kind `RACE`. Runs of no study, such as those of version 1 and those that were started
one by one, race when they were asked for the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput
from apt_core.base.words import nearest
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.methods import METHODS, make_method
from apt_core.studies.comparable import same_task

RACE = "race"
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
        measured = [(member.pruned.perplexity, member) for member in self.members if member.pruned]
        return [member for _, member in sorted(measured, key=lambda pair: pair[0])]


def line_up(job: Prune, names: Any) -> list[Prune]:
    """The job, then one for every rival in the order of the registry: all else the same, default options.

    The method of `job` is not its own rival. Raises BadInput with one sentence for what is no method, or cannot do it.
    """
    for name in _listed(names):
        if not isinstance(name, str) or name not in METHODS:
            raise BadInput(
                f"There is no method '{str(name)[:40]}' to race; choose from {', '.join(METHODS)}."
                f"{nearest(str(name)[:40], METHODS)}"
            )
    rivals = [name for name in METHODS if name in _listed(names) and name != job.method.name]
    return [job, *(_rival(job, name) for name in rivals)]


def _rival(job: Prune, name: str) -> Prune:
    method = make_method(name)
    try:
        return job.changed(method=method)
    except BadInput as error:
        raise BadInput(f"{method.title} cannot take part: {error}") from error


def race_of(shown: RunRecord, others: Iterable[RunRecord]) -> Race | None:
    """The race in which `shown` takes part, None when nobody else does.

    A run of a study: those of its runs among `others` with the same task, whatever became of them. Any other: those
    that belong to no study and were asked for the same, the newest of every method and its options.
    others: newest first.
    """
    if shown.job.without_method is None:
        return None
    found = _of_its_study(shown, others) if shown.study else _asked_for_the_same(shown, others)
    if len(found) < 2:
        return None
    place = list(METHODS).index
    members = sorted(
        found, key=lambda member: (place(member.pruning.method.name), member.pruning.method.label, member.id)
    )
    return Race(shown, tuple(members))


def _of_its_study(shown: RunRecord, others: Iterable[RunRecord]) -> list[RunRecord]:
    rivals = [other for other in others if other.study == shown.study and other.id != shown.id]
    return [shown, *(rival for rival in rivals if same_task(rival, shown))]  # a sweep holds other tasks too


def _asked_for_the_same(shown: RunRecord, others: Iterable[RunRecord]) -> list[RunRecord]:
    found = {shown.pruning.method: shown}
    for other in others:
        if not other.study and other.status not in _OUT and same_task(other, shown):
            found.setdefault(other.pruning.method, other)
    return list(found.values())


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
