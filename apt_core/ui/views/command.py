"""The same run from the command line and from Python, ready to copy."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from apt_core.base.patterns import SemiStructured
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.events.records import public_name
from apt_core.jobs import Job, Prune
from apt_core.jobs.flags import JobField, job_fields
from apt_core.ui.views.html import Markup

_NAMES_SOURCES = frozenset({"model.id", "calibration.text", "evaluation.text"})


def command(job: Job, rivals: Sequence[Prune] = (), policy: HostPolicy = STRICT) -> str:
    """`python -m apt_core prune ...`, naming only what differs from the defaults."""
    arguments = _arguments(job, policy)
    if rivals:
        arguments += ["--race", ",".join(rival.method.name for rival in rivals)]
    return " ".join([f"python -m apt_core {job.kind}", *map(shlex.quote, arguments)])


def command_block(jobs: Sequence[Prune], policy: HostPolicy = STRICT) -> Markup:
    """jobs: the chosen one, then its rivals; none as long as the choices make no job."""
    text = command(jobs[0], jobs[1:], policy) if jobs else "Complete the choices above first."
    return Markup(
        '<div class="command"><pre tabindex="0" aria-label="Command line">{}</pre>'
        '<button type="button" class="quiet-button" data-copy>Copy</button></div>'
    ).format(text)


def _arguments(job: Job, policy: HostPolicy) -> list[str]:
    """The flags of every field that differs from its default; of a pruning job also the method and the pattern."""
    out: list[str] = []
    for field in job_fields(type(job)):
        out += _flag(field, field.values(job), policy)
        if field.path == "model.revision" and isinstance(job, Prune):
            out += _method_and_pattern(job)
    return out + (_options(job) if isinstance(job, Prune) else [])


def _flag(field: JobField, values: Sequence[Any], policy: HostPolicy) -> list[str]:
    if field.kind is bool:
        yes = field.flag.name
        return [] if values[0] == field.default else [yes if values[0] else "--no-" + yes.removeprefix("--")]
    if field.path in _NAMES_SOURCES:
        values = [",".join(public_name(value, policy) for value in values)]
    return [] if values[0] == field.default else [field.flag.name, str(values[0])]


def _method_and_pattern(job: Prune) -> list[str]:
    method = ["--method", job.method.name]
    if isinstance(job.pattern, SemiStructured):
        return [*method, "--pattern", job.pattern.label]
    return [*method, "--sparsity", f"{job.pattern.sparsity:g}"]


def _options(job: Prune) -> list[str]:
    return [word for name, value in job.method.changes().items() for word in ("--set", f"{name}={value}")]
