"""What the browser sends, turned into a Recipe. Everything is checked here; nothing is trusted."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pydantic import BaseModel

from apt_core.base.errors import BadInput, TermsNotAccepted
from apt_core.base.paths import is_public_host
from apt_core.base.patterns import SemiStructured, parse_pattern
from apt_core.jobs.recipe import Calibration, Evaluation, Recipe, make_recipe
from apt_core.methods import METHODS
from apt_core.models.catalogue import terms
from apt_core.models.catalogue.entries import CATALOGUE, Terms
from apt_core.models.fetch.sources import local_path
from apt_core.studies.race import line_up
from apt_core.ui.forms.uploads import text_for, token_for

CUSTOM = "custom"
PATTERNS = ("2:4", "4:8", "1:4", "3:4", "1:2", "2:8")


class Form(NamedTuple):
    """The values of the chooser, in the order of its components. `options` follow, one per schema field."""

    model: Any
    kind: Any  # "n:m" or "unstructured"
    pattern: Any  # one of PATTERNS or CUSTOM
    keep: Any
    of: Any
    sparsity: Any  # percent, as people say it
    method: Any
    text: Any
    samples: Any
    length: Any
    eval_text: Any
    eval_samples: Any
    eval_length: Any
    seed: Any
    device: Any
    dtype: Any
    weights: Any = "auto"
    optional_layers: Any = False
    rivals: Any = ()  # names of methods that are raced against the chosen one
    terms: Any = False  # the model's conditions of use are accepted


def recipe_of(form: Form, options: dict[str, dict[str, Any]]) -> Recipe:
    """The recipe; raises BadInput with one sentence. `options`: method name -> option name -> value."""
    method = str(form.method or "")
    if method not in METHODS:
        raise BadInput(f"There is no method '{method[:40]}'; choose one of {', '.join(METHODS)}.")
    return make_recipe(
        model={"id": _model(form.model)},
        method={"name": method} | {name: _plain(value) for name, value in options.get(method, {}).items()},
        pattern=_pattern(form).model_dump(),
        calibration={
            "text": text_for(form.text),
            "samples": _bounded(form.samples, "Calibration samples", Calibration, "samples"),
            "length": _bounded(form.length, "Tokens of a calibration sample", Calibration, "length"),
        },
        evaluation={
            "text": text_for(form.eval_text),
            "samples": _bounded(form.eval_samples, "Evaluation windows", Evaluation, "samples"),
            "length": _bounded(form.eval_length, "Tokens of an evaluation window", Evaluation, "length"),
        },
        seed=_bounded(form.seed, "Seed", Recipe, "seed"),
        device=form.device or "auto",
        dtype=form.dtype or "auto",
        weights=form.weights or "auto",
        optional_layers=bool(form.optional_layers),
    )


def open_terms(form: Form) -> Terms | None:
    """The conditions of the chosen model that still need a tick. On a public host every visitor ticks them."""
    name = str(form.model or "").strip()
    entry = CATALOGUE.get(name)
    if is_public_host():
        return entry.terms if entry else None
    return terms.to_accept(name)


def recipes_of(form: Form, options: dict[str, dict[str, Any]]) -> list[Recipe]:
    """The recipe that was chosen, and one for every rival; raises BadInput with one sentence."""
    if (unread := open_terms(form)) and form.terms is not True:
        raise TermsNotAccepted(
            f"Read the {unread.title} and tick that you accept them, then the run can start."
        )
    return line_up(recipe_of(form, options), form.rivals)


def form_of(recipe: Recipe) -> Form:
    """The values with which the chooser asks for this recipe: what `recipe_of` undoes."""
    pattern = recipe.pattern
    grouped = isinstance(pattern, SemiStructured)
    named = grouped and pattern.label in PATTERNS
    return Form(
        model=recipe.model.id,
        kind=pattern.kind,
        pattern=pattern.label if named else CUSTOM if grouped else PATTERNS[0],
        keep=pattern.keep if grouped else 2,
        of=pattern.of if grouped else 4,
        sparsity=50 if grouped else round(100 * pattern.sparsity, 4),
        method=recipe.method.name,
        text=token_for(recipe.calibration.text),
        samples=recipe.calibration.samples,
        length=recipe.calibration.length,
        eval_text=token_for(recipe.evaluation[0].text),
        eval_samples=recipe.evaluation[0].samples,
        eval_length=recipe.evaluation[0].length,
        seed=recipe.seed,
        device=recipe.resources.device,
        dtype=recipe.resources.dtype,
        weights=recipe.resources.weights,
        optional_layers=recipe.optional_layers,
        rivals=[],  # a recipe knows of no race
    )


def _model(value: Any) -> str:
    name = str(value or "").strip()
    if not name:
        raise BadInput("Choose a model, or type a Hub id such as owner/name.")
    if name not in CATALOGUE and (folder := local_path(name)):
        return str(folder)  # absolute: the worker works in another folder
    return name


def _pattern(form: Form):
    if form.kind == "unstructured":
        return parse_pattern(f"{_number(form.sparsity, 'Sparsity') / 100:.6g}")
    if form.pattern == CUSTOM:
        return parse_pattern(f"{_whole(form.keep, 'N')}:{_whole(form.of, 'M')}")
    return parse_pattern(str(form.pattern or ""))


def _bounded(value: Any, name: str, model: type[BaseModel], field: str) -> int:
    """A whole number within the bounds that the recipe states for this field."""
    number = _whole(value, name)
    schema = model.model_json_schema()["properties"][field]
    low, high = schema["minimum"], schema["maximum"]
    if not low <= number <= high:
        raise BadInput(f"{name}: give a number from {low:,} to {high:,}, not {number:,}.")
    return number


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{name}: give a number.") from None
    if not math.isfinite(number):
        raise BadInput(f"{name}: give a number.")
    return number


def _whole(value: Any, name: str) -> int:
    number = _number(value, name)
    if number != int(number):
        raise BadInput(f"{name}: give a whole number, not {number:g}.")
    return int(number)


def _plain(value: Any) -> Any:
    """A browser has no integers; 128.0 means 128."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
