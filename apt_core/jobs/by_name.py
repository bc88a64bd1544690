"""The method of a job as plain data says it: {"name": ..., option: value}."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationInfo

from apt_core.base.errors import BadOption
from apt_core.jobs.schema import is_stored
from apt_core.methods.component import Named

Kind = TypeVar("Kind", bound=Named)


def by_name(
    value: dict[str, Any],
    info: ValidationInfo,
    make: Callable[[str, dict[str, Any]], Kind],
    kinds: Mapping[str, type[Kind]],
    default: str | None = None,
) -> Kind:
    """What `make` makes of the name and the options; raises BadOption.

    Of a stored job, options that only a later version has are left out. kinds: name -> class, where `make` looks.
    default: the name where none is given.
    """
    options = dict(value)
    name = str(options.pop("name", default))
    try:
        return make(name, options)
    except BadOption:
        if not is_stored(info) or name not in kinds:
            raise
        return kinds[name].model_validate(options, extra="ignore")
