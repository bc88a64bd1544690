"""`evaluate`: the perplexity of one model on one text, in this process."""

from __future__ import annotations

import argparse

from apt_core.base.errors import BadInput
from apt_core.cli.output import print_json
from apt_core.cli.progress import ProgressLine, stage_words
from apt_core.cli.recipes import check_terms, evaluation_from, model_from
from apt_core.events import Evaluated
from apt_core.jobs.recipe import ModelRef
from apt_core.models.catalogue.facts import model_facts
from apt_core.runs.ids import is_run_id
from apt_core.runs.only_ours import only_ours
from apt_core.runs.store import Store


def run(options: argparse.Namespace) -> int:
    model = (
        _folder_of_run(options.model)
        if is_run_id(options.model)
        else model_from(options.model, policy=options.policy).id
    )
    evaluation = evaluation_from(options)
    model_facts(
        ModelRef(id=model), options.policy
    )  # a model that does not exist is told before torch is loaded
    check_terms(ModelRef(id=model), options.accept_terms)
    line = ProgressLine()
    with only_ours():
        from transformers.utils import logging

        import apt_core

        logging.disable_progress_bar()  # it would draw over our own line
        result = apt_core.evaluate(
            model,
            text=evaluation.text,
            samples=evaluation.samples,
            length=evaluation.length,
            device=options.device or "auto",
            dtype=options.dtype or "auto",
            progress=lambda event: line.show(stage_words(event), event.stage),
        )
    line.clear()
    if options.json:
        print_json({"model": options.model} | result.model_dump(exclude={"kind", "side"}))
    else:
        print(_sentence(options.model, result))
    return 0


def _folder_of_run(run_id: str) -> str:
    store = Store()
    store.get(run_id)  # raises UnknownRun
    checkpoint = store.checkpoint(run_id)
    if checkpoint is None:
        raise BadInput(f"Run {run_id} has no pruned weights (any more); prune again.")
    return str(checkpoint)


def _sentence(model: str, result: Evaluated) -> str:
    return (
        f"Perplexity of {model}: {result.perplexity:.4g} on {result.windows} windows of {result.length} "
        f"tokens of {result.text} ({result.protocol}, {result.seconds:.1f} s)."
    )
