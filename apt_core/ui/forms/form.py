"""What the browser sends, turned into a job, and a job turned back into what the page shows.

Everything is checked here; nothing is trusted.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from apt_core.base.errors import BadInput, TermsNotAccepted
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.values import Frozen
from apt_core.jobs import Prune, Pruning, Shrink, make_value
from apt_core.methods import STRUCTURED
from apt_core.models.catalogue import terms
from apt_core.models.catalogue.entries import CATALOGUE, Terms
from apt_core.studies.race import line_up
from apt_core.ui.forms.controls import CONTROLS
from apt_core.ui.forms.fields import Field, Values, fields_of, put_at, value_at

ACCEPT = "I have read and accept these conditions of use"
AJob = TypeVar("AJob", bound=Frozen)


def read(kind: type[AJob], values: Values, policy: HostPolicy = STRICT) -> AJob:
    """The job of these values; a field of which they say nothing has its default. Raises BadInput with one
    sentence."""
    data: dict[str, Any] = {}
    for field in fields_of(kind):
        if _is_given(field, values):
            put_at(data, field.path, _read_one(field, values, policy))
    return make_value(kind, **data)


def _read_one(field: Field, values: Values, policy: HostPolicy) -> Any:
    try:
        return CONTROLS[field.control].read(field, values, policy)
    except BadInput as error:
        error.field = error.field or field.path
        raise


def write(job: BaseModel) -> dict[str, Any]:
    """The values with which the page asks for this job: what `read` undoes."""
    values: dict[str, Any] = {}
    for field in fields_of(type(job)):
        values |= CONTROLS[field.control].write(field, value_at(job, field.path))
    return values


def jobs_of(kind: type[Prune], values: Values, policy: HostPolicy) -> list[Pruning]:
    """The job that was chosen, and one for every rival of a race; raises BadInput with one sentence."""
    check_terms(values.get("model"), values.get("terms"), policy)
    if (name := values.get("method.name")) in STRUCTURED:
        return [_structured(str(name), values, policy)]
    return [*line_up(read(kind, values, policy), values.get("rivals"))]


def _structured(name: str, values: Values, policy: HostPolicy) -> Shrink:
    if values.get("rivals"):
        raise BadInput(
            f"A race compares methods that leave the same weights in place, and {STRUCTURED[name].title} makes a "
            "smaller model; untick the rivals and compare the runs afterwards."
        )
    return read(Shrink, values, policy)


def check_terms(model: Any, ticked: Any, policy: HostPolicy) -> None:
    """Raise TermsNotAccepted while the conditions of this model are open and not ticked."""
    if (unread := open_terms(model, policy)) and ticked is not True:
        raise TermsNotAccepted(
            f"Read the {unread.title} and tick that you accept them, then the run can start."
        )


def open_terms(model: Any, policy: HostPolicy) -> Terms | None:
    """The conditions of a model that still need a tick. On a public host every visitor ticks them."""
    name = str(model or "").strip()
    if policy.public:
        return CATALOGUE[name].terms if name in CATALOGUE else None
    return terms.to_accept(name)


def _is_given(field: Field, values: Values) -> bool:
    return any(path == field.path or path.startswith(f"{field.path}.") for path in values)
