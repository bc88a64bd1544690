"""The same run from the command line and from Python, ready to copy."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from apt_core.base.patterns import SemiStructured
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.events.records import public_name
from apt_core.jobs import Calibration, Evaluation, Prune
from apt_core.ui.views.html import Markup

_DEFAULT_CALIBRATION, _DEFAULT_EVALUATION = Calibration(), Evaluation()


def command(recipe: Prune, rivals: Sequence[Prune] = (), policy: HostPolicy = STRICT) -> str:
    """`python -m apt_core prune ...`, naming only what differs from the defaults."""
    arguments = _arguments(recipe, policy)
    if rivals:
        arguments += ["--race", ",".join(rival.method.name for rival in rivals)]
    return " ".join(["python -m apt_core prune", *map(shlex.quote, arguments)])


def command_block(recipes: Sequence[Prune], policy: HostPolicy = STRICT) -> Markup:
    """recipes: the chosen one, then its rivals; none as long as the choices make no recipe."""
    text = command(recipes[0], recipes[1:], policy) if recipes else "Complete the choices above first."
    return Markup(
        '<div class="command"><pre tabindex="0" aria-label="Command line">{}</pre>'
        '<button type="button" class="quiet-button" data-copy>Copy</button></div>'
    ).format(text)


def _arguments(recipe: Prune, policy: HostPolicy) -> list[str]:
    out = ["--model", public_name(recipe.model.id, policy)]
    out += ["--revision", recipe.model.revision] if recipe.model.revision else []
    out += ["--method", recipe.method.name]
    if isinstance(recipe.pattern, SemiStructured):
        out += ["--pattern", recipe.pattern.label]
    else:
        out += ["--sparsity", f"{recipe.pattern.sparsity:g}"]
    return out + _differing(recipe, policy)


def _differing(recipe: Prune, policy: HostPolicy) -> list[str]:
    out: list[str] = []
    for flag, value, default in (
        ("--calibration", public_name(recipe.calibration.text, policy), _DEFAULT_CALIBRATION.text),
        ("--samples", recipe.calibration.samples, _DEFAULT_CALIBRATION.samples),
        ("--length", recipe.calibration.length, _DEFAULT_CALIBRATION.length),
        (
            "--eval",
            ",".join(public_name(one.text, policy) for one in recipe.evaluation),
            _DEFAULT_EVALUATION.text,
        ),
        ("--eval-samples", recipe.evaluation[0].samples, _DEFAULT_EVALUATION.samples),
        ("--eval-length", recipe.evaluation[0].length, _DEFAULT_EVALUATION.length),
        ("--seed", recipe.seed, 0),
        ("--device", recipe.resources.device, "auto"),
        ("--dtype", recipe.resources.dtype, "auto"),
        ("--weights", recipe.resources.weights, "auto"),
        ("--walk", recipe.resources.walk, "auto"),
    ):
        if value != default:
            out += [flag, str(value)]
    if recipe.optional_layers:
        out.append("--optional-layers")
    for name, value in recipe.method.changes().items():
        out += ["--set", f"{name}={value}"]
    return out
