"""The plain fields of a job and what each is called on the command line, read from the job's schema.

Both directions are drawn from it: the parser that takes a job, and the command that the page shows for one.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

# Two ways to say a pattern, and methods with options of their own: --method, --set, --sparsity, --pattern.
WRITTEN_BY_HAND = frozenset({"method", "pattern"})
_NOT_ASKED = frozenset({"kind", "schema_version"})


class Flag(NamedTuple):
    """How a field is called on the command line, where that is not its path. help: empty for the description of the
    field itself."""

    name: str
    metavar: str | None = None
    help: str = ""


# Fields whose flag is not --path-of-the-field.
_FLAGS = {
    "model.id": Flag(
        "--model",
        "MODEL",
        "a name of 'models', a folder of safetensors, a Hub id, or run:ID for what a run made",
    ),
    "model.revision": Flag("--revision", "REVISION", "branch, tag or commit of a Hub model"),
    "calibration.text": Flag(
        "--calibration", "NAME|FILE", "text that the statistics come from, or hub:DATASET"
    ),
    "calibration.samples": Flag("--samples", "N", "calibration windows at most"),
    "calibration.length": Flag("--length", "N", "tokens in each"),
    "evaluation.text": Flag(
        "--eval", "NAME|FILE", "text, or several with commas, that perplexity is measured on, or hub:DATASET"
    ),
    "calibration.held_out": Flag("--held-out", "N"),
    "training.text": Flag("--text", "NAME|FILE", "text that is trained on, or hub:DATASET"),
    "training.samples": Flag("--samples", "N", "training windows at most"),
    "training.length": Flag("--length", "N", "tokens in each"),
    "training.batch": Flag("--batch", "N", "windows in a step"),
    "training.held_out": Flag("--held-out", "N"),
    "optimiser_steps": Flag("--steps", "N"),
    "seed": Flag("--seed", "N"),
    "answers": Flag(
        "--answers", help="dense and pruned model answer a standard question at the end of the run"
    ),
    "resources.device": Flag("--device", help="where it is computed"),
    "resources.dtype": Flag("--dtype", help="the precision of the weights"),
    "resources.weights": Flag("--weights"),
    "resources.walk": Flag("--walk"),
    "tasks.names": Flag("--tasks", "NAMES"),
    "tasks.limit": Flag("--limit", "N"),
}
# The parts of a job whose fields are called by a shorter word: `evaluation.samples` is --eval-samples.
_SHORT = {"evaluation": "eval", "evolution": ""}
_HELP = {
    "evaluation.samples": "evaluation windows at most",
    "evaluation.length": "tokens in each",
    "evaluation.skip": "evaluation windows to skip at the start of the text",
}


class JobField(NamedTuple):
    """One plain value of a job. kind: the type, without None and without what Annotated says about it."""

    path: str
    info: FieldInfo
    kind: Any

    @property
    def flag(self) -> Flag:
        if self.path in _FLAGS:
            return _FLAGS[self.path]
        group, _, name = self.path.rpartition(".")
        words = [*filter(None, [_SHORT.get(group, group)]), name]
        return Flag("--" + "-".join(words).replace(".", "-").replace("_", "-"), help=_HELP.get(self.path, ""))

    @property
    def default(self) -> Any:
        return None if self.info.is_required() else self.info.get_default(call_default_factory=True)

    def values(self, job: BaseModel) -> list[Any]:
        """What the job holds here: one value, or one for each member of a tuple on the way."""
        found: list[Any] = [job]
        for name in self.path.split("."):
            held = [getattr(value, name) for value in found]
            found = [one for value in held for one in (value if isinstance(value, tuple) else (value,))]
        return found


def job_fields(model: type[BaseModel], prefix: str = "") -> Iterator[JobField]:
    """Every leaf of the job, in order. Of a field that holds several values of one kind, the leaves of that kind."""
    for name, info in model.model_fields.items():
        if name in _NOT_ASKED or prefix + name in WRITTEN_BY_HAND:
            continue
        kind = _plain(info.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from job_fields(kind, f"{prefix}{name}.")
        else:
            yield JobField(prefix + name, info, kind)


def _plain(kind: Any) -> Any:
    """`int | None` -> int; `tuple[Evaluation, ...]` -> Evaluation; `Annotated[X, ...]` -> X."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        left = [each for each in get_args(kind) if each is not type(None)]
        return _plain(left[0]) if len(left) == 1 else kind
    if get_origin(kind) is tuple and get_args(kind)[1:] == (...,):
        return _plain(get_args(kind)[0])
    return kind
