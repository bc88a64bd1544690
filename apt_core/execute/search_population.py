"""The generations of a search: candidates are made, measured on the held-out windows, and the best go on.

The population is kept on the way, so that another run can go on from it: bounded by generations, with the result of a
search that was never stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Generator, Iterable
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor

from apt_core.base.errors import BadInput
from apt_core.base.values import Frozen
from apt_core.events import Candidate, Event, Generation, Progress, SearchBegan, Warned
from apt_core.execute import training_state
from apt_core.execute.context import Context
from apt_core.execute.kept import TRAINING
from apt_core.execute.search_judge import judge_of
from apt_core.execute.search_space import Space, importance_of
from apt_core.execute.shrink_given import Given
from apt_core.execute.training_state import CANNOT_BE_KEPT
from apt_core.jobs import Search
from apt_core.maths.kept_sets import Draws
from apt_core.methods.searching.shapes import Shape
from apt_core.passes.genomes import Chances, Genome, Importance, children, first_ones, generator_of
from apt_core.passes.masked import Judge, Masked

_KEEP_SECONDS = 5.0  # between two kept populations
_EMPTY_GENERATIONS = 5  # in a row, after which there is nothing left to try
_BLOCKS, _GROUPS, _IMPORTANCE = "blocks", "groups.", "importance."


class Member(NamedTuple):
    genome: Genome
    perplexity: float  # on the held-out windows


class Found(NamedTuple):
    """start: what the search began with."""

    best: Genome
    start: Genome
    importance: Importance


class SearchState(Frozen):
    """asked: what two searches must have in common so that one can go on from the other's population. perplexities:
    of the population, None where there is none."""

    asked: str
    dense: float | None
    tried: int
    seconds: float
    shapes: tuple[tuple[int, int, int], ...]
    perplexities: tuple[float | None, ...]
    generations: tuple[Generation, ...]


Recalled = tuple[SearchState, dict[str, Tensor]]


def recalled(job: Search, context: Context) -> Recalled | None:
    """What another run has kept of the same search; or this one, where it begins again because its node was lost."""
    if training_state.is_kept(context.folder):
        own = context.folder / TRAINING
        found = training_state.recall(own, SearchState)
        return found if found[0].asked == asked(job) else None
    if job.resume is None:
        return None
    found = training_state.recall(context.training_of(job.resume), SearchState)
    if found[0].asked != asked(job):
        raise BadInput(
            f"Run {job.resume} searched something else; to go on from it, ask for the same model, share, text, "
            "options and seed."
        )
    return found


def asked(job: Search) -> str:
    same = job.model_dump(mode="json", include={"model", "keep", "evolution", "calibration", "seed"})
    if job.evolution.judge == "masked":
        del same["evolution"]["judge"]  # as of the versions whose candidates were all masked
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


class Searching:
    """One search, from its first candidates or from where another one stopped."""

    def __init__(self, job: Search, given: Given, space: Space, held_out: Tensor):
        self._job, self._given, self._space, self._held_out = job, given, space, held_out
        draws = Draws(job.evolution.similarity, job.evolution.tries, job.evolution.draws == "importance")
        self._chances = Chances(job.evolution.width_mutation, job.evolution.depth_mutation, draws)
        self._members: list[Member] = []
        self._curve: list[Generation] = []
        self._tried, self._seconds, self._kept_at = 0, 0.0, 0.0
        self._dense: float | None = None
        self._warned = False
        self._importance: Importance
        self._start: Candidate
        self._judge: Judge

    def run(self, state: Recalled | None) -> Generator[Event, None, Found]:
        if state is not None:
            self._restore(*state)
            yield from self._kept()  # the other run may be deleted now
        else:
            self._importance = yield from importance_of(self._given, self._space)
        if state is None or not self._ended:
            yield from self._searched(state is None)
        else:
            yield self._began()
            yield from self._curve
        start = first_ones(self._space.start, (), self._importance, 1, self._chances, self._job.seed)[0]
        return Found(self._members[0].genome, start, self._importance)

    def _searched(self, anew: bool) -> Generator[Event, None, None]:
        """Everything for which candidates are measured."""
        given, evolution = self._given, self._job.evolution
        with given.opened.store.scratch(given.context.folder) as scratch:
            inverses = scratch("inverses")
            self._judge = yield from judge_of(given, evolution, self._space, self._held_out, inverses)
            if anew:
                self._dense = _number((yield from self._measured(self._whole(), "the dense model", 0.0)))
            yield self._began()
            yield from self._curve
            try:
                yield from self._generations()
            except BaseException:  # asked to stop, or something is wrong: what was reached is kept
                with contextlib.suppress(OSError):
                    self._keep()
                raise

    def _generations(self) -> Generator[Event, None, None]:
        if not self._curve:
            yield from self._generation(self._first_ones())
        while not self._ended:
            yield from self._generation(self._children())

    @property
    def _ended(self) -> bool:
        """A bound of the search is reached."""
        return len(self._curve) > self._job.generations or self._late or self._exhausted

    def _generation(self, genomes: list[Genome]) -> Generator[Event, None, None]:
        """Measure the new ones and let the best of old and new go on; the first to be measured always is."""
        found: list[Member] = []
        for place, genome in enumerate(genomes):
            if found and self._late:
                break
            said = f"generation {len(self._curve)}, candidate {place + 1} of {len(genomes)}"
            began = perf_counter()
            perplexity = yield from self._measured(
                self._space.masked(genome), said, self._share(place / len(genomes))
            )
            self._seconds += perf_counter() - began
            found.append(Member(genome, perplexity))
        if not self._curve:
            self._start = self._space.candidate(*found[0])
        ranked = sorted((*self._members, *found), key=lambda member: member.perplexity)
        members, tried = ranked[: self._job.evolution.population], self._tried + len(found)
        curve = [*self._curve, self._told(members, tried)]
        self._members, self._tried, self._curve = (
            members,
            tried,
            curve,
        )  # stopped at any moment: all of it or nothing
        if perf_counter() - self._kept_at > _KEEP_SECONDS:
            yield from self._kept()
        yield self._curve[-1]

    def _first_ones(self) -> list[Genome]:
        count = self._job.evolution.population
        return first_ones(
            *(self._space.start, self._space.allowed, self._importance, count, self._chances, self._job.seed)
        )

    def _children(self) -> list[Genome]:
        """None that makes the model of another one, or of one of the population."""
        evolution = self._job.evolution
        parents = [member.genome for member in self._members[: evolution.parents]]
        generator = generator_of(self._job.seed, len(self._curve))
        found = children(
            *(parents, self._space.allowed, self._importance, self._chances),
            *(evolution.mutations, evolution.crossings, generator),
        )
        return _distinct(found, {member.genome.key for member in self._members})

    @property
    def _late(self) -> bool:
        return self._seconds >= 60 * self._job.minutes

    @property
    def _exhausted(self) -> bool:
        """Several generations had no candidate that was not known."""
        last = [one.tried for one in self._curve[-_EMPTY_GENERATIONS - 1 :]]
        return len(last) > _EMPTY_GENERATIONS and len(set(last)) == 1

    def _share(self, within: float) -> float:
        """How much of the search is done, by whichever bound is nearer."""
        generations = (len(self._curve) + within) / (self._job.generations + 1)
        return min(1.0, max(self._seconds / (60 * self._job.minutes), generations))

    def _measured(self, candidate: Masked, said: str, share: float) -> Generator[Event, None, float]:
        steps = self._judge.perplexity(candidate)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return float(end.value)
            yield Progress(stage="search", done=100 * share, total=100, detail=said)

    def _whole(self) -> Masked:
        return Masked(tuple(range(self._space.budget.blocks)), {})

    # ---- what is said and kept

    def _began(self) -> SearchBegan:
        job, budget = self._job, self._space.budget
        return SearchBegan(
            generation=max(0, len(self._curve) - 1),
            generations=job.generations,
            minutes=job.minutes,
            population=job.evolution.population,
            shapes=len(self._space.allowed),
            parameters=budget.blocks * budget.weights,
            keep=job.keep,
            tolerance=budget.tolerance,
            windows=len(self._held_out),
            length=self._held_out.shape[1],
            dense=self._dense,
            judge=job.evolution.judge,
        )

    def _told(self, members: list[Member], tried: int) -> Generation:
        return Generation(
            number=len(self._curve),
            tried=tried,
            seconds=round(self._seconds, 3),
            start=self._start,
            population=tuple(self._space.candidate(*member) for member in members),
        )

    def _kept(self) -> Generator[Event, None, None]:
        """Without room to keep the population the search goes on, and says once what that means."""
        try:
            self._keep()
        except OSError as error:
            if not self._warned:
                yield Warned(message=f"{CANNOT_BE_KEPT} ({' '.join(str(error).split())[:100]}).")
            self._warned = True

    def _keep(self) -> None:
        """Raises OSError."""
        if not self._curve:
            return
        genomes = [member.genome for member in self._members]
        state = SearchState(
            asked=asked(self._job),
            dense=self._dense,
            tried=self._tried,
            seconds=self._seconds,
            shapes=tuple(_three(genome.shape) for genome in genomes),
            perplexities=tuple(_number(member.perplexity) for member in self._members),
            generations=tuple(self._curve),
        )
        tensors = {
            _BLOCKS: torch.stack([genome.blocks for genome in genomes]),
            f"{_IMPORTANCE}{_BLOCKS}": self._importance.blocks,
        }
        for unit, importance in self._importance.groups.items():
            tensors[f"{_GROUPS}{unit}"] = torch.stack([genome.groups[unit] for genome in genomes])
            tensors[f"{_IMPORTANCE}{_GROUPS}{unit}"] = importance
        training_state.keep(self._given.context.folder, state, tensors)
        self._kept_at = perf_counter()

    def _restore(self, state: SearchState, tensors: dict[str, Tensor]) -> None:
        units: list[str] = [one.unit for one in self._space.structures]
        try:
            self._importance = Importance(
                tensors[f"{_IMPORTANCE}{_BLOCKS}"],
                {unit: tensors[f"{_IMPORTANCE}{_GROUPS}{unit}"] for unit in units},
            )
            for place, (shape, perplexity) in enumerate(zip(state.shapes, state.perplexities, strict=True)):
                groups = {unit: tensors[f"{_GROUPS}{unit}"][place] for unit in units}
                genome = Genome(Shape(*shape), tensors[_BLOCKS][place], groups)
                self._members.append(Member(genome, math.inf if perplexity is None else perplexity))
        except (KeyError, IndexError) as error:
            raise BadInput(
                "What that run had kept of its search does not fit this model; start the search again."
            ) from error
        self._dense, self._tried, self._seconds = state.dense, state.tried, state.seconds
        self._curve = list(state.generations)
        self._start = self._curve[0].start


def _distinct(genomes: Iterable[Genome], known: set[bytes]) -> list[Genome]:
    found = []
    for genome in genomes:
        if genome.key not in known:
            known.add(genome.key)
            found.append(genome)
    return found


def _three(shape: Shape) -> tuple[int, int, int]:
    return shape.blocks, shape.heads, shape.channels


def _number(perplexity: float) -> float | None:
    return perplexity if math.isfinite(perplexity) else None
