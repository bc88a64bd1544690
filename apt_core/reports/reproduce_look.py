"""The same comparison, or the same look inside a run, from the command line and from Python."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from apt_core.measure.inside.questions import LayerQuestion, RunQuestion
from apt_core.reports.reproduce import Copied

_FLAGS = {"depth": "--depth", "blocks_alone": "--blocks-alone"}
_ASK = """from apt_core.measure.inside.questions import {kind}
from apt_core.runs.inspecting import Inspector

inspector = Inspector()
*_, seen = inspector.ask({kind}({arguments}))
inspector.close()
"""


def comparison_again(runs: Sequence[str]) -> Copied:
    """runs: their ids, the first one what the others are compared with."""
    said = ", ".join(f'"{run}"' for run in runs)
    return Copied(
        " ".join(["python -m apt_core compare", *map(shlex.quote, runs)]),
        f"import apt_core\n\ncomparison = apt_core.compare([{said}])\n",
    )


def look_again(question: RunQuestion) -> Copied:
    """What was asked about the inside of a run."""
    asked = question.model_dump(exclude_defaults=True)
    arguments = ", ".join(f"{name}={value!r}" for name, value in asked.items()).replace("'", '"')
    script = _ASK.format(kind=type(question).__name__, arguments=arguments)
    words = ["inspect", question.run, *_flags(question)]
    return Copied(" ".join(["python -m apt_core", *map(shlex.quote, words)]), script)


def _flags(question: RunQuestion) -> list[str]:
    if not isinstance(question, LayerQuestion):
        return [_FLAGS[question.kind]]
    flags = ["--block", str(question.block), "--layer", question.layer]
    if question.row is not None:
        return [*flags, "--row", str(question.row)]
    return [*flags, "--inputs"] if question.inputs else flags
