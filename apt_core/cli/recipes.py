"""From the options of the command line to a recipe, checked as far as can be before anything starts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from apt_core.base.errors import BadInput, BadOption, one_sentence
from apt_core.base.patterns import parse_pattern
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.jobs.recipe import Evaluation, ModelRef, Recipe, make_recipe
from apt_core.methods import METHODS, Method, make_method
from apt_core.models.catalogue import terms
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import folder_facts, model_facts
from apt_core.models.fetch.sources import local_path
from apt_core.runs.store import Store
from apt_core.texts import hub as texts_on_hub
from apt_core.texts.sources import TEXTS, read_file


def recipe_from(options: argparse.Namespace) -> Recipe:
    """The recipe that `prune` was asked for; raises BadInput with one sentence."""
    pattern = parse_pattern(options.pattern if options.sparsity is None else options.sparsity)
    method = method_from(options.method, options.set)
    model = model_from(options.model, options.revision)
    recipe = make_recipe(
        model=model.model_dump(),
        method={"name": method.name, **method.model_dump()},
        pattern=pattern.model_dump(),
        calibration=_given(
            text=text_from(options.calibration), samples=options.samples, length=options.length
        ),
        evaluation=evaluation_from(options).model_dump(),
        optional_layers=options.optional_layers,
        **_given(seed=options.seed, device=options.device, dtype=options.dtype, weights=options.weights),
    )
    _check_model(recipe)
    check_terms(recipe.model, options.accept_terms)
    return recipe


def check_terms(model: ModelRef, accepted: bool) -> None:
    """Raise TermsNotAccepted while a model's conditions of use are open; `accepted` writes down that they are not."""
    if accepted:
        terms.accept(model.id)
    terms.check(model.id)


def method_from(name: str, settings: list[str]) -> Method:
    """`apt` and ['block_size=64'] -> Apt(block_size=64); values are typed by the option's own field."""
    given: dict[str, Any] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise BadOption(f"--set {setting!r} is not of the form KEY=VALUE.")
        given[key.strip().replace("-", "_")] = _typed(value.strip())
    fields = METHODS[name].model_fields if name in METHODS else given
    if unknown := [key for key in given if key not in fields]:
        known = f"its options are {', '.join(fields)}" if fields else "it has none"
        raise BadOption(f"{METHODS[name].title} has no option '{unknown[0]}'; {known}.")
    return make_method(name, given)


def model_from(text: str, revision: str | None = None) -> ModelRef:
    """A name or Hub id as it is; a folder with its whole path, because workers live elsewhere."""
    if not text.strip():
        raise BadInput("The model's name is empty; give a name of 'models', a folder or a Hub id.")
    folder = None if text in CATALOGUE or text.startswith(RUN_PREFIX) else local_path(text)
    return _model_ref(str(folder) if folder else text, revision)


def text_from(text: str | None) -> str | None:
    """A name as it is; a file with its whole path. Files and datasets are looked for before a run is made."""
    if text is None or text in TEXTS:
        return text
    if text.startswith("hub:"):
        texts_on_hub.check(text)  # raises BadText or NotReachable
        return text
    read_file(text)  # raises BadText
    return str(Path(text).expanduser().resolve())


def evaluation_from(options: argparse.Namespace) -> Evaluation:
    fields = _given(text=text_from(options.eval), samples=options.eval_samples, length=options.eval_length)
    try:
        return Evaluation(**fields)
    except ValueError as error:
        raise BadInput(f"Evaluation {one_sentence(error)}") from error


def _model_ref(text: str, revision: str | None) -> ModelRef:
    try:
        return ModelRef(id=text, revision=revision)
    except ValueError as error:
        raise BadInput(f"Model {one_sentence(error)}") from error


def _check_model(recipe: Recipe) -> None:
    """That the model exists and its layers can be cut this way, as far as is known without a download."""
    parent = recipe.model.run
    facts = (
        model_facts(recipe.model)
        if parent is None
        else folder_facts(Store().made_by(parent).folder, parent, source="run")
    )
    for layer in facts.layers:
        recipe.pattern.check_width(layer.in_features, layer.name)


def _given(**fields: Any) -> dict[str, Any]:
    """What was given on the command line; the rest keeps the recipe's defaults."""
    return {name: value for name, value in fields.items() if value is not None}


def _typed(value: str) -> Any:
    """128, 0.01, true, null as such; anything else is text."""
    try:
        return json.loads(value)
    except ValueError:
        return value
