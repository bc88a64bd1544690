"""The same sweep or search for the most sparsity from the command line and from Python."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from apt_core.base.patterns import Pattern, SemiStructured
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.jobs import Prune
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space
from apt_core.jobs.study import Study
from apt_core.reports import reproduce
from apt_core.reports.reproduce import Copied

_NO_OPTIONS = "# The options of the method cannot be said on this command line; use the Python beside it."

_NONE: frozenset[str] = frozenset()


def study_again(study: Study, policy: HostPolicy = STRICT) -> Copied | None:
    """None for a study that is neither a grid nor a search."""
    if study.bisection is not None:
        return _search_again(study.bisection, policy)
    return _grid_again(study, study.space, policy) if study.space is not None else None


def _grid_again(study: Study, space: Space, policy: HostPolicy) -> Copied:
    base = space.base
    axes: dict[str, tuple[Any, ...]] = {
        "--methods": space.methods or (base.method.name,),
        **_patterns(space.patterns or (base.pattern,)),
        "--allocations": space.allocations,
        "--seeds": space.seeds or ((base.seed,) if base.seed else ()),
        "--samples": space.samples or _unusual_samples(base),
    }
    axes = axes if space.has_grid else {}
    given = [word for flag, values in axes.items() if values for word in (flag, ",".join(map(str, values)))]
    given += [word for line in space.recipes for word in ("--recipe", _whole(line, base))]
    script = reproduce.python_source(study.jobs, policy)
    return Copied(_line(base, given, base.method.name in axes.get("--methods", ()), policy), script)


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
    allocation = base.method.changes().get("allocation")
    if allocation is not None:
        given += ["--allocations", str(allocation)]
    return Copied(_line(base, given, True, policy, frozenset({"allocation"})), _halving(search, policy))


def _line(
    base: Prune, given: Sequence[str], with_options: bool, policy: HostPolicy, said: frozenset[str] = _NONE
) -> str:
    """`python -m apt_core sweep ...`; a comment where options of the method would be lost."""
    if with_options and base.method.changes().keys() - said:
        return _NO_OPTIONS
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
