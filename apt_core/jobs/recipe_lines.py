"""Recipes in one line each: 'alps 0.5 allocation=loss seed=1 samples=64' is a job beside a base that holds the rest."""

from __future__ import annotations

import shlex

from apt_core.base.errors import BadInput
from apt_core.base.patterns import parse_pattern
from apt_core.jobs.prune import Prune
from apt_core.methods import make_method

_FORM = "write a method, a pattern and settings, such as 'alps 0.5 allocation=loss seed=1'"
_NUMBERS = ("seed", "samples")  # settings that are not the method's


def job_of(line: str, base: Prune) -> Prune:
    """The job of one line; what it does not say is as in `base`, but for the method's options, which are its defaults.

    Raises BadInput with one sentence that names the line.
    """
    try:
        return _read(line, base)
    except BadInput as error:
        raise BadInput(f"Recipe '{line.strip()[:80]}': {error}") from error
    except ValueError as error:  # of shlex and int
        raise BadInput(f"Recipe '{line.strip()[:80]}' cannot be read; {_FORM}.") from error


def _read(line: str, base: Prune) -> Prune:
    name, pattern, settings = _parts(line)
    numbers = {key: int(settings.pop(key)) for key in _NUMBERS if key in settings}
    calibration = base.calibration.model_dump()
    if "samples" in numbers:
        calibration["samples"] = numbers["samples"]
    return base.changed(
        method=make_method(name, dict(settings)),
        pattern=parse_pattern(pattern),
        calibration=calibration,
        seed=numbers.get("seed", base.seed),
    )


def _parts(line: str) -> tuple[str, str, dict[str, str]]:
    words = shlex.split(line)
    settings = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    if len(names) == 3 and names[2] == "mixed":
        names[1:] = [f"{names[1]} mixed"]
    if len(names) != 2:
        raise BadInput(f"{_FORM}.")
    pairs = (setting.split("=", 1) for setting in settings)
    return names[0], names[1], {key.replace("-", "_"): value for key, value in pairs}  # as --set takes them
