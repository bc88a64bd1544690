"""From the options of the command line to a job, checked as far as can be before anything starts."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from apt_core.base.errors import BadInput, BadOption, field_of, one_sentence
from apt_core.base.lazy import lazy
from apt_core.base.patterns import parse_pattern
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.cli.flags import given
from apt_core.estimate.preflight import estimate
from apt_core.estimate.tasks import check_tasks
from apt_core.jobs import Evaluation, Job, ModelRef, Prune, Pruning, Shrink, make_value
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.methods import STRUCTURED, Method, make_method, make_structured
from apt_core.methods.component import SLOTS
from apt_core.models.catalogue import terms
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import ModelFacts, folder_facts, model_facts
from apt_core.models.fetch.sources import local_path
from apt_core.runs.store import Store
from apt_core.texts import hub as texts_on_hub
from apt_core.texts.sources import TEXTS, read_file

hardware = lazy("apt_core.base.hardware")  # loads torch

AJob = TypeVar("AJob", bound=Job)

_START = "allocation.start"  # of the allocation by hand


def pruning_from(options: argparse.Namespace, store: Store | None = None) -> Pruning:
    """The job that `prune` was asked for, by a method of any kind; raises BadInput with one sentence."""
    return shrink_from(options, store) if options.method in STRUCTURED else prune_from(options, store)


def prune_from(options: argparse.Namespace, store: Store | None = None) -> Prune:
    """Raises BadInput with one sentence."""
    if getattr(options, "compensate", False):
        raise BadOption(
            "--compensate belongs to llm-pruner; a method that sets single weights to zero says by --reconstruction "
            "how the others make up."
        )
    pattern = parse_pattern(options.pattern if options.sparsity is None else options.sparsity)
    return _checked(options, Prune, composed(options, store).model_dump(), pattern.model_dump(), store)


def composed(options: argparse.Namespace, store: Store | None = None) -> Method:
    """The method that was named, with its settings; raises BadInput with one sentence."""
    return method_from(options.method, [*_slots(options), *_begun(options.set, store)])


def shrink_from(options: argparse.Namespace, store: Store | None = None) -> Shrink:
    """Raises BadInput with one sentence."""
    kind = STRUCTURED[options.method]
    if options.optional_layers:
        raise BadOption(f"{kind.title} removes {kind.removes}; leave --optional-layers out.")
    pattern = parse_pattern(options.pattern if options.sparsity is None else options.sparsity)
    settings = [*_slots(options), *options.set, *(["compensate=true"] if options.compensate else [])]
    method = make_structured(options.method, settings_from(settings))
    fields = {name: path for name, path in options.job_fields.items() if path != "optional_layers"}
    options = argparse.Namespace(**vars(options) | {"job_fields": fields})
    return _checked(options, Shrink, method.model_dump(), pattern.model_dump(), store)


def _begun(settings: list[str], store: Store | None) -> list[str]:
    """The same settings, with what a run gave each layer in the place of `allocation.start=run:ID`."""
    run = f"{_START}={RUN_PREFIX}"
    return [
        f"{_START}={_given_by(one.removeprefix(run), store or Store())}" if one.startswith(run) else one
        for one in settings
    ]


def _given_by(run_id: str, store: Store) -> str:
    allocated = store.get(run_id.strip()).allocated
    if allocated is None:
        raise BadInput(
            f"Run {run_id} gave every layer the same, so there is nothing to begin with; name another run."
        )
    return ", ".join(f"{layer}={share:.4g}" for layer, share in allocated.shares.items())


def _slots(options: argparse.Namespace) -> list[str]:
    return [f"{slot}={name}" for slot in SLOTS if (name := getattr(options, slot, None))]


def _checked(
    options: argparse.Namespace,
    kind: type[AJob],
    method: dict[str, Any],
    pattern: dict[str, Any],
    store: Store | None,
) -> AJob:
    model = model_from(options.model, options.revision, options.policy).model_dump()
    fields = fields_from(options, "calibration") | {"model": model}
    job = make_value(kind, method=method, pattern=pattern, **fields)
    check_terms(job.model, options.accept_terms)
    check_job(job, options.policy, store or Store())
    return job


def fields_from(options: argparse.Namespace, reads: str = "") -> dict[str, Any]:
    """What was said of the plain fields of a job, its texts looked for. reads: the field that names the text of its
    main work, where it has one beside those of the evaluation."""
    fields = given(options)
    if "text" in fields.get(reads, {}):
        fields[reads]["text"] = text_from(fields[reads]["text"], options.policy)
    return fields | {"evaluation": [one.model_dump() for one in evaluations_from(options)]}


def check_terms(model: ModelRef, accepted: bool) -> None:
    """Raise TermsNotAccepted while a model's conditions of use are open; `accepted` writes down that they are not."""
    if accepted:
        terms.accept(model.id)
    terms.check(model.id)


def method_from(name: str, settings: list[str]) -> Method:
    """`apt` and ['mask.block_size=64'] -> the method; values are typed by the option's own field."""
    return make_method(name, settings_from(settings))


def settings_from(settings: list[str]) -> dict[str, Any]:
    """['mask.block_size=64'] -> {"mask.block_size": "64"}."""
    given: dict[str, Any] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise BadOption(f"--set {setting!r} is not of the form KEY=VALUE.")
        given[key.strip().replace("-", "_")] = _typed(value.strip())
    return given


def model_from(text: str, revision: str | None = None, policy: HostPolicy = STRICT) -> ModelRef:
    """A name or Hub id as it is; a folder with its whole path, because workers live elsewhere."""
    if not text.strip():
        raise BadInput("The model's name is empty; give a name of 'models', a folder or a Hub id.")
    if revision and text.startswith(RUN_PREFIX):
        raise BadInput("What a run made has no revisions; leave --revision out.")
    folder = None if text in CATALOGUE or text.startswith(RUN_PREFIX) else local_path(text, policy)
    return _model_ref(str(folder) if folder else text, revision)


def text_from(text: str | None, policy: HostPolicy = STRICT) -> str | None:
    """A name as it is; a file with its whole path. Files and datasets are looked for before a run is made."""
    if text is None or text in TEXTS:
        return text
    if text.startswith("hub:"):
        texts_on_hub.check(text, policy)  # raises BadText or NotReachable
        return text
    read_file(text, policy)  # raises BadText
    return str(Path(text).expanduser().resolve())


def evaluations_from(options: argparse.Namespace) -> list[Evaluation]:
    """One for each text of `--eval`; a file whose name has a comma is one text."""
    named = options.eval
    if named is None or "," not in named or Path(named).expanduser().exists():
        return [evaluation_from(options)]
    texts = [text.strip() for text in named.split(",") if text.strip()]
    return [evaluation_from(argparse.Namespace(**vars(options) | {"eval": text})) for text in texts]


def evaluation_from(options: argparse.Namespace) -> Evaluation:
    fields = given(options).get("evaluation", {})
    if "text" in fields:
        fields["text"] = text_from(fields["text"], options.policy)
    try:
        return Evaluation(**fields)
    except ValidationError as error:
        bad = BadInput(f"Evaluation {one_sentence(error)}")
        bad.field = f"evaluation.{field_of(error)}"
        raise bad from error


def _model_ref(text: str, revision: str | None) -> ModelRef:
    try:
        return ModelRef(id=text, revision=revision)
    except ValidationError as error:
        raise BadInput(f"Model {one_sentence(error)}") from error


def check_job(job: Job, policy: HostPolicy, store: Store) -> None:
    """Raise for a model that does not exist, and for what the preflight refuses, as far as is known without a
    download."""
    check_tasks(job, policy)
    if refusal := estimate(job, facts_for(job, policy, store), policy=policy).refusal:
        raise BadInput(refusal)


def check_device(device: str | None) -> None:
    """Raise BadInput for a device that this machine lacks; loads torch for one that has to be asked for."""
    if device not in (None, "auto", "cpu") and (os.environ.get("APT_EXECUTOR") or "local") == "local":
        hardware.choose_device(device)


def facts_for(job: Job, policy: HostPolicy, store: Store) -> ModelFacts:
    """What is known of the job's model without a download; raises for one that does not exist."""
    parent = job.model.run
    if parent is None:
        return model_facts(job.model, policy)
    return folder_facts(store.made_by(parent).folder, parent, source="run")


def _typed(value: str) -> Any:
    """Numbers, yes and no are read by the option's own field; a group of values is written as JSON."""
    if not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise BadOption(f"--set cannot read {value[:40]!r} as JSON.") from error
