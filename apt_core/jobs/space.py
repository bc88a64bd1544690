"""Pruning jobs of a sweep: every combination of some methods, patterns, allocations, seeds and calibration sizes, and
recipes that are written one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from apt_core.base.errors import BadInput, BadOption, field_of, one_sentence
from apt_core.base.limits import SWEEP_RUNS
from apt_core.base.patterns import Pattern, SemiStructured, Unstructured, parse_pattern
from apt_core.base.values import Frozen
from apt_core.base.words import nearest
from apt_core.jobs.parts import Calibration
from apt_core.jobs.prune import Prune
from apt_core.jobs.recipe_lines import job_of
from apt_core.jobs.schema import is_stored
from apt_core.methods import METHODS, Method, make_method
from apt_core.methods.registry import COMPONENTS

_MOST = 64  # values along one axis
_LOOKED_AT = 20  # combinations at most for each run of the cap: some are left out, or come to the same job
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Line = Annotated[str, Field(max_length=500)]
Samples = Annotated[int, Field(ge=1, le=4096)]


class Space(Frozen):
    """What a sweep asks for: the values along each axis, and a job that holds everything else.

    An axis without a value stays as it is in `base`; without allocations every method keeps its own. The order of the
    jobs is that of the axes, the first one slowest; then come the recipes. With recipes and no value on any axis there
    are the recipes alone.
    """

    base: Prune
    methods: tuple[str, ...] = Field(
        default=(), max_length=_MOST, title="Methods", json_schema_extra={"control": "methods"}
    )
    patterns: tuple[Pattern, ...] = Field(
        default=(), max_length=_MOST, title="Sparsities and patterns", description="such as 0.3, 0.5, 2:4"
    )
    allocations: tuple[str, ...] = Field(
        default=(), max_length=_MOST, title="Allocations", description="which share each layer loses"
    )
    seeds: tuple[Seed, ...] = Field(default=(), max_length=_MOST, title="Seeds")
    samples: tuple[Samples, ...] = Field(default=(), max_length=_MOST, title="Calibration windows")
    recipes: tuple[Line, ...] = Field(
        default=(),
        max_length=_MOST,
        title="Recipes",
        description="runs of your own beside these, one a line, such as alps 0.5 allocation=loss seed=1",
    )

    @field_validator("patterns", mode="before")
    @classmethod
    def _read_patterns(cls, value: Any) -> Any:
        """'2:4' and 0.5 count as patterns."""
        if not isinstance(value, list | tuple):
            return value
        return tuple(parse_pattern(str(one)) if isinstance(one, str | int | float) else one for one in value)

    @field_validator("methods")
    @classmethod
    def _are_methods(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return names if is_stored(info) else _known("method", names, METHODS)

    @field_validator("allocations")
    @classmethod
    def _are_allocations(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return names if is_stored(info) else _known("allocation", names, COMPONENTS["allocation"])

    @property
    def combinations(self) -> int:
        """Of all axes, and the recipes, before those that come to the same job are dropped."""
        return prod(map(len, self._axes())) * self.has_grid + len(self.recipes)

    @property
    def has_grid(self) -> bool:
        """Whether its axes make jobs, beside the recipes or without any."""
        axes = (self.methods, self.patterns, self.allocations, self.seeds, self.samples)
        return any(axes) or not self.recipes

    def _axes(self) -> tuple[tuple[Any, ...], ...]:
        return (
            _once(self.methods) or (self.base.method.name,),
            _once(self.patterns) or (self.base.pattern,),
            _once(self.allocations) or (None,),
            _once(self.seeds) or (self.base.seed,),
            _once(self.samples) or (self.base.calibration.samples,),
        )

    def expand(self, most: int = SWEEP_RUNS) -> Expanded:
        """Its jobs, each once. Raises BadInput with one sentence when there are more than `most`, or so many
        combinations that it would take long to look at them."""
        if self.combinations > _LOOKED_AT * most:
            raise self._too_many(most)
        jobs: dict[Prune, None] = {}
        dropped: dict[str, None] = {}
        for job, said in self._jobs():
            if said:
                dropped[said] = None
            if job is not None:
                jobs[job] = None
            if len(jobs) > most:
                raise self._too_many(most)
        if not jobs:
            raise BadInput(next(iter(dropped)))
        return Expanded(tuple(jobs), tuple(dropped))

    def _too_many(self, most: int) -> BadInput:
        return BadInput(
            f"These choices make up to {self.combinations:,} runs, and a sweep holds at most {most} here; choose fewer."
        )

    def _jobs(self) -> Iterator[tuple[Prune | None, str]]:
        """Every combination, with a sentence where it is another combination's job, or none at all; every recipe."""
        if self.has_grid:
            yield from self._combined()
        yield from ((job_of(line, self.base), "") for line in self.recipes)

    def _combined(self) -> Iterator[tuple[Prune | None, str]]:
        for name, pattern, allocation, seed, samples in product(*self._axes()):
            method = _method_of(self.base, name)
            said = ""
            if allocation is not None:
                method, said = _with_allocation(method, allocation, pattern)
            calibration = Calibration(**self.base.calibration.model_dump() | {"samples": samples})
            changes = {"method": method, "pattern": pattern, "seed": seed, "calibration": calibration}
            try:
                yield self.base.changed(**changes), said
            except BadInput as error:
                yield None, f"{method.title} at {pattern.label} is left out: {error}"


class Expanded(NamedTuple):
    """The jobs of a grid. dropped: sentences that say which combinations are not among them, and why."""

    jobs: tuple[Prune, ...]
    dropped: tuple[str, ...]


def make_space(base: Prune, **axes: Any) -> Space:
    """A checked grid; raises BadInput with one sentence."""
    try:
        return Space(base=base, **axes)
    except ValidationError as error:
        bad = BadInput(one_sentence(error))
        bad.field = field_of(error)
        raise bad from error


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _known(what: str, names: tuple[str, ...], registered: Any) -> tuple[str, ...]:
    for name in names:
        if name not in registered:
            raise BadOption(
                f"There is no {what} {name[:40]!r} to sweep; choose from {', '.join(registered)}."
                f"{nearest(name[:40], registered)}"
            )
    return names


def _method_of(base: Prune, name: str) -> Method:
    """The base's own method keeps its options, any other has its defaults."""
    return base.method if name == base.method.name else make_method(name)


def _with_allocation(method: Method, name: str, pattern: Unstructured | SemiStructured) -> tuple[Method, str]:
    """The method with this allocation, and a sentence where the pattern leaves it nothing to share out."""
    changed = make_method(method.name, {**method.model_dump(exclude={"name"}), "allocation": name})
    if name == "uniform" or changed.allocation.varies(pattern):
        return changed, ""
    uniform = make_method(method.name, {**method.model_dump(exclude={"name"}), "allocation": "uniform"})
    return uniform, (
        f"At {pattern.label} every layer loses the same share, so the allocation '{name}' is the uniform one there; "
        "such runs are asked for once."
    )
