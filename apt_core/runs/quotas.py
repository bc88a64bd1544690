"""How much one visitor, and all of them together, may take of this host: one config, each limit with its sentence.

Each field says its variable, what it is on a public host where nobody says otherwise, and what it limits; on a
person's own machine nothing is limited unless they say so. The documentation's table is made of the same words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field
from pydantic.fields import FieldInfo

from apt_core.base.errors import BadInput
from apt_core.base.model_bounds import UNBOUNDED, ModelBounds
from apt_core.base.policy import LOCAL, HostPolicy
from apt_core.base.values import Frozen

FILE = "quotas.json"  # in the data folder
NONE = "off"  # the word for no limit


def _limit(variable: str, public: float, what: str) -> Any:
    return Field(default=None, description=what, json_schema_extra={"variable": variable, "public": public})


class Quotas(Frozen):
    """None is no limit."""

    waiting: int | None = _limit("APT_MAX_WAITING", 24, "runs that wait, of all visitors together")
    waiting_each: int | None = _limit("APT_MAX_WAITING_EACH", 8, "runs that wait, of one visitor")
    runs_per_hour: int | None = _limit("APT_RUNS_PER_HOUR", 20, "runs that one visitor starts in an hour")
    address_runs_per_hour: int | None = _limit(
        "APT_ADDRESS_RUNS_PER_HOUR",
        60,
        "runs that are started from one address in an hour, by all its visitors",
    )
    run_minutes: float | None = _limit(
        "APT_RUN_MINUTES", 60, "minutes that one run may take, or one look inside a run or at an allocation"
    )
    tokens_per_hour: int | None = _limit(
        "APT_TOKENS_PER_HOUR", 30_000, "tokens that are generated for one visitor in an hour"
    )
    looks_per_hour: int | None = _limit(
        "APT_LOOKS_PER_HOUR",
        240,
        "looks inside a run or at an allocation, probability gaps of an answer, fits of the law and GGUF files, worked "
        "out for one visitor in an hour",
    )
    pushes_per_hour: int | None = _limit(
        "APT_PUSHES_PER_HOUR", 6, "models that one visitor pushes to the Hub in an hour"
    )
    questions_each: int | None = _limit(
        "APT_QUESTIONS_EACH", 2, "questions of one visitor that wait or are being answered"
    )
    questions: int | None = _limit(
        "APT_QUESTIONS", 24, "questions of all visitors that wait or are being answered"
    )
    upload_mb: float | None = _limit("APT_UPLOAD_MB", 10, "megabytes of one uploaded text")
    uploads: int | None = _limit("APT_UPLOADS", 10, "uploaded texts that are kept for one visitor")
    upload_hours: float | None = _limit(
        "APT_UPLOAD_HOURS", 48, "hours that an uploaded text stays after its last use"
    )
    uploads_per_hour: int | None = _limit(
        "APT_UPLOADS_PER_HOUR", 30, "files that are sent from one address in an hour"
    )
    model_gb: float | None = _limit("APT_MODEL_GB", 5, "gigabytes of the weights of a model")
    model_blocks: int | None = _limit("APT_MODEL_BLOCKS", 64, "decoder blocks of a model")
    models_gb: float | None = _limit(
        "APT_MODELS_GB",
        40,
        "gigabytes of downloaded models that are kept; what was not used for longest goes",
    )
    disk_gb: float | None = _limit(
        "APT_VISITOR_GB", 10, "gigabytes that the runs of one visitor hold on the disk"
    )
    visitors_per_hour: int | None = _limit(
        "APT_VISITORS_PER_HOUR",
        120,
        "new visitors from one address in an hour; more of them may look, not start",
    )

    @classmethod
    def of(cls, policy: HostPolicy, environment: Mapping[str, str], folder: Path | None = None) -> Quotas:
        """The variables, then `quotas.json` of the data folder, then the defaults of such a host. Raises BadInput."""
        stated = _file(folder / FILE) if folder else {}
        found: dict[str, float | None] = {}
        for name, field in cls.model_fields.items():
            about = about_of(name, field)
            if text := environment.get(about.variable, ""):
                found[name] = _number(about.variable, text, about.whole)
            elif name in stated:
                found[name] = _number(f"{name} of {FILE}", str(stated[name]), about.whole)
            else:
                found[name] = about.public if policy.public else None
        return cls.model_validate(found)

    def bounds_for(self, owner: str) -> ModelBounds:
        """How large the models of an owner's runs may be; whoever is at the machine may fetch any."""
        if owner == LOCAL:
            return UNBOUNDED
        n_bytes = None if self.model_gb is None else int(self.model_gb * 1e9)
        return ModelBounds(n_bytes=n_bytes, blocks=self.model_blocks)


class About(NamedTuple):
    """A limit in words. whole: whether only whole numbers make sense."""

    name: str
    variable: str
    public: float
    what: str
    whole: bool


def about_of(name: str, field: FieldInfo) -> About:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)  # `_limit` wrote it
    public = extra["public"]
    assert isinstance(public, int | float)
    return About(name, str(extra["variable"]), public, str(field.description), "int" in str(field.annotation))


def all_limits() -> list[About]:
    return [about_of(name, field) for name, field in Quotas.model_fields.items()]


def table() -> str:
    """The limits as a table of Markdown, for people who run a host."""
    rows = [f"| `{one.variable}` | {one.public:,} | {one.what} |" for one in all_limits()]
    return "\n".join(["| variable | public default | limits |", "|---|---|---|", *rows])


def _file(path: Path) -> dict[str, Any]:
    """What the file says; nothing where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}).") from error
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON ({error}).") from error
    if not isinstance(found, dict) or (strange := set(found) - set(Quotas.model_fields)):
        name = sorted(strange)[0] if isinstance(found, dict) else text[:20]
        raise BadInput(
            f"{path} says {name!r}, which is no limit; it may name {', '.join(Quotas.model_fields)}."
        )
    return found


def _number(where: str, text: str, whole: bool) -> float | None:
    if text.strip() == NONE:
        return None
    kind = "whole number" if whole else "number"
    try:
        value = float(text) if text.isascii() and len(text) < 20 else math.nan
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9 or (whole and value != int(value)) or (whole and not text.strip().isdecimal()):
        raise BadInput(
            f"{where} is {text[:20]!r}; give a {kind} above 0, such as 24, or '{NONE}' for no limit."
        )
    return int(value) if whole else value
