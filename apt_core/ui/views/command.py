"""The same run from the command line and from Python, ready to copy."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.policy import STRICT, HostPolicy
from apt_core.jobs import Job
from apt_core.jobs.kinds import prunes
from apt_core.reports.reproduce import Copied, command, python_source
from apt_core.ui.views.html import Markup

_EMPTY = "Complete the choices above first."


def command_block(jobs: Sequence[Job], policy: HostPolicy = STRICT) -> Markup:
    """jobs: the chosen one, then its rivals; none as long as the choices make no job."""
    rivals = [job for job in jobs[1:] if prunes(job)]
    line = command(jobs[0], rivals, policy) if jobs else _EMPTY
    script = python_source(jobs, policy) if jobs else _EMPTY
    return _copied(line, "Command line", "Copy as command") + _copied(script, "Python", "Copy as Python")


def copied_block(again: Copied, summary: str = "The same as command or Python") -> Markup:
    """The same for what is no run: a study, a comparison, a look inside; behind a line that opens it."""
    return Markup('<details class="folded again"><summary>{}</summary>{}{}</details>').format(
        summary,
        _copied(again.command, "Command line", "Copy as command"),
        _copied(again.python, "Python", "Copy as Python"),
    )


def _copied(text: str, name: str, button: str) -> Markup:
    return Markup(
        '<div class="command"><pre tabindex="0" aria-label="{}">{}</pre>'
        '<button type="button" class="quiet-button" data-copy>{}</button></div>'
    ).format(name, text, button)
