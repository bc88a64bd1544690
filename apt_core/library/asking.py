"""From the keywords of a call to a job, checked as far as can be before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.base.patterns import parse_pattern
from apt_core.base.policy import HostPolicy
from apt_core.jobs import Evaluation, Job, Prune, Pruning, Shrink, make_job, make_value
from apt_core.jobs.flags import job_fields
from apt_core.methods import STRUCTURED
from apt_core.methods.component import SLOTS
from apt_core.runs.store import Store

if TYPE_CHECKING:
    import apt_core.cli.options as asking
else:
    asking = lazy("apt_core.cli.options")


def plan(
    model: str = "smollm2-135m",
    method: str = "apt",
    pattern: str | float | None = None,
    options: Mapping[str, Any] | None = None,
    revision: str | None = None,
    sparsity: float | str | None = None,
    **fields: Any,
) -> Pruning:
    """A checked pruning job, for `run`.

    model: a catalogue name, a folder of safetensors, a Hub id, or `run:<id>`. pattern: '2:4' (the default), '50%' or
    0.5; sparsity: the same as a fraction. options: of the method, nested ({"mask": {"block_size": 64}}) or by path
    ({"allocation": "loss"}); a slot of the method is a keyword too (allocation="loss"). Other keywords as the flags of
    `apt-studio prune` (samples=8, calibration="wiki-sample", eval="wikipedia"), or fields of `apt_core.jobs.Prune`, for
    a method that removes blocks, heads or channels of `apt_core.jobs.Shrink`. Raises BadInput with one sentence.
    """
    if pattern is not None and sparsity is not None:
        raise BadInput("Give a pattern or a sparsity, not both.")
    chosen = "2:4" if pattern is None and sparsity is None else pattern if sparsity is None else sparsity
    kind: type[Prune] | type[Shrink] = Shrink if method in STRUCTURED else Prune
    slots = {slot: fields.pop(slot) for slot in (*SLOTS, "compensate") if slot in fields}
    return make_value(
        kind,
        model={"id": model, "revision": revision},
        method={"name": method, **(options or {}), **slots},
        pattern=parse_pattern(str(chosen)),
        **fields_of(kind, fields),
    )


def fields_of(kind: type[Job], given: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords as the command line calls them -> the fields of a job; its own fields are taken as they are."""
    paths = {field.flag.name.lstrip("-").replace("-", "_"): field.path for field in job_fields(kind)}
    found: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}  # of groups of fields
    for name, value in given.items():
        path = name if isinstance(value, Mapping | BaseModel) else paths.get(name, name)
        if name in ("eval", "evaluation"):
            found["evaluation"] = value
        elif "." in path:
            group, _, last = path.rpartition(".")
            parts.setdefault(group, {})[last] = value
        else:
            found[path] = value
    windows = parts.pop("evaluation", {})
    if "evaluation" in found or windows:
        found["evaluation"] = evaluations(found.get("evaluation", Evaluation().text), windows)
    for group, values in parts.items():
        found[group] = _plain(found.get(group, {})) | values
    return found


def evaluations(texts: Any, windows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of one text or several, each a name, a file, or a group of fields; windows: of those that have none."""
    if isinstance(texts, str) and not Path(texts).expanduser().exists():
        texts = [one.strip() for one in texts.split(",") if one.strip()]
    several = [texts] if isinstance(texts, str | Mapping | BaseModel) else list(texts)
    return [{**windows, **({"text": one} if isinstance(one, str) else _plain(one))} for one in several]


def _plain(value: Mapping[str, Any] | BaseModel) -> dict[str, Any]:
    return value.model_dump() if isinstance(value, BaseModel) else dict(value)


def ready(job: Job, store: Store, policy: HostPolicy) -> Job:
    """The same job with whole paths, checked as far as can be before anything starts; raises BadInput."""
    fields = job.model_dump()
    if job.model.run is None:
        fields["model"] = asking.model_from(job.model.id, job.model.revision, policy)
    for text in [fields.get("calibration"), fields.get("training"), *fields["evaluation"]]:
        if text is not None:
            text["text"] = asking.text_from(text["text"], policy)
    checked = make_job(**fields)
    if checked.model.run is None:
        asking.check_terms(checked.model, accepted=False)
    asking.check_device(checked.resources.device)
    asking.check_job(checked, policy, store)
    return checked
