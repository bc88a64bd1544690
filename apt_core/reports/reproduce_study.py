"""The same race, sweep or search for the highest sparsity from the command line and from Python."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from apt_core.base.patterns import Pattern, SemiStructured
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.jobs import Prune
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.kinds import prunes
from apt_core.jobs.space import Space
from apt_core.jobs.study import Study
from apt_core.reports import reproduce
from apt_core.reports.reproduce import Copied
from apt_core.studies.race import RACE


def study_again(study: Study, policy: HostPolicy = STRICT) -> Copied | None:
    """None for a study that is no race, no grid and no search."""
    if study.bisection is not None:
        return _search_again(study.bisection, policy)
    if study.kind == RACE and study.jobs:
        return _race_again(study, policy)
    return _grid_again(study, study.space, policy) if study.space is not None else None


def _race_again(study: Study, policy: HostPolicy) -> Copied:
    """The chosen method with its options, then its rivals, which have none of their own."""
    first, *rivals = [job for job in study.jobs if prunes(job)]
    return Copied(reproduce.command(first, rivals, policy), reproduce.python_source(study.jobs, policy))


def _grid_again(study: Study, space: Space, policy: HostPolicy) -> Copied:
    base = space.base
    axes: dict[str, tuple[Any, ...]] = {
        "--methods": _base_first(space.methods or (base.method.name,), base),
        **_patterns(space.patterns or (base.pattern,)),
        "--allocations": space.allocations,
        "--seeds": space.seeds or ((base.seed,) if base.seed else ()),
        "--samples": space.samples or _unusual_samples(base),
    }
    axes = axes if space.has_grid else {}
    given = [word for flag, values in axes.items() if values for word in (flag, ",".join(map(str, values)))]
    if base.method.name in axes.get("--methods", ()):
        given += reproduce.option_flags(base)
    given += [word for line in space.recipes for word in ("--recipe", _whole(line, base))]
    return Copied(_line(base, given, policy), reproduce.python_source(study.jobs, policy))


def _base_first(methods: tuple[str, ...], base: Prune) -> tuple[str, ...]:
    """The method whose options `--set` says comes first."""
    return tuple(sorted(methods, key=lambda name: name != base.method.name))


def _whole(line: str, base: Prune) -> str:
    """A recipe with what it takes of the base, which the flags of the axes would change."""
    samples = _unusual_samples(base)
    usual = {"seed": base.seed or None, "samples": samples[0] if samples else None}
    added = [
        f"{name}={value}" for name, value in usual.items() if value is not None and f"{name}=" not in line
    ]
    return " ".join([line.strip(), *added])


def _search_again(search: Bisection, policy: HostPolicy) -> Copied:
    base = search.base
    given = ["--method", base.method.name, "--within", f"{search.within:g}"]
    if base.seed:
        given += ["--seeds", str(base.seed)]
    given += [word for samples in _unusual_samples(base) for word in ("--samples", str(samples))]
    return Copied(_line(base, [*given, *reproduce.option_flags(base)], policy), _halving(search, policy))


def _line(base: Prune, given: Sequence[str], policy: HostPolicy) -> str:
    """`python -m apt_core sweep ...`."""
    arguments = reproduce.field_flags(base, policy, without=frozenset({"seed", "calibration.samples"}))
    return " ".join(["python -m apt_core sweep", *map(shlex.quote, [*arguments, *given])])


def _patterns(patterns: Sequence[Pattern]) -> dict[str, tuple[Any, ...]]:
    groups = tuple(one.label for one in patterns if isinstance(one, SemiStructured))
    shares = tuple(reproduce.exact(one.sparsity) for one in patterns if not isinstance(one, SemiStructured))
    return {"--sparsity": shares, "--pattern": groups}


def _unusual_samples(base: Prune) -> tuple[int, ...]:
    usual = type(base.calibration)().samples
    return () if base.calibration.samples == usual else (base.calibration.samples,)


def _halving(search: Bisection, policy: HostPolicy) -> str:
    """A script that halves as the search does, without its last look above the border."""
    call = reproduce.python_call(search.base, policy, pattern="percent / 100")
    body = "\n".join(f"        {line}" for line in f"ratio = {call}.ratio".split("\n")).lstrip()
    return (
        "import math\n\nimport apt_core\nfrom apt_core.base.errors import NotNumbers\n\n"
        "passed, failed = 0, 100\n"
        f"while failed - passed > {round(100 * search.tolerance)}:\n"
        "    percent = (passed + failed) // 2\n"
        "    try:\n"
        f"        {body}\n"
        "    except NotNumbers:\n"
        "        ratio = math.inf\n"
        f"    passed, failed = (percent, failed) if ratio <= {search.within:g} else (passed, percent)\n"
        "print(passed)\n"
    )
