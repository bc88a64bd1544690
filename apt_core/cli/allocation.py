"""`allocation`: what an allocation gives each layer of a model, without pruning it."""

from __future__ import annotations

import argparse
from typing import Any

from apt_core.base.errors import BadOption
from apt_core.base.patterns import parse_pattern
from apt_core.base.words import DASH, count, percent
from apt_core.cli.flags import given
from apt_core.cli.looking import look
from apt_core.cli.options import check_job, check_terms, composed, model_from, text_from
from apt_core.cli.output import table
from apt_core.jobs import Prune, make_value
from apt_core.measure.inside.questions import AllocationQuestion
from apt_core.measure.layer_shares import LayerShares
from apt_core.methods import STRUCTURED
from apt_core.plots.layer_shares import by_block, mean_of
from apt_core.runs.inspecting import Inspector
from apt_core.runs.store import Store


def run(options: argparse.Namespace) -> int:
    store = Store()
    question = question_from(options, store)
    inspector = Inspector(store, policy=options.policy)
    asked = {"model": question.job.model.id, "options": question.job.method.allocation.model_dump()}
    return look(inspector, question, options.json, lambda found: asked | found.as_json(), as_text)


def question_from(options: argparse.Namespace, store: Store) -> AllocationQuestion:
    """Raises BadInput with one sentence."""
    if options.method in STRUCTURED:
        kind = STRUCTURED[options.method]
        raise BadOption(
            f"{kind.title} removes {kind.removes}, so no allocation applies; choose another method."
        )
    pattern = parse_pattern(options.pattern if options.sparsity is None else options.sparsity)
    fields: dict[str, Any] = given(options)
    if "text" in fields.get("calibration", {}):
        fields["calibration"]["text"] = text_from(fields["calibration"]["text"], options.policy)
    fields |= {
        "model": model_from(options.model, options.revision, options.policy).model_dump(),
        "method": composed(options, store).model_dump(),
        "pattern": pattern.model_dump(),
    }
    question = AllocationQuestion.of(make_value(Prune, **fields))
    check_terms(question.job.model, options.accept_terms)
    check_job(question.job, options.policy, store)
    return question


def as_text(found: LayerShares) -> str:
    """A row for each block, a column for each kind of layer."""
    names, blocks = by_block(found)
    rows = [
        (str(block), *(percent(mean_of(cells[kind])) if kind in cells else DASH for kind in names))
        for block, cells in blocks.items()
    ]
    head = f"{found.title}, {found.allocation} at {found.pattern}: what each layer is to lose"
    whole = f"Together {found.removed:,} of {count(found.weights)} weights go, {percent(found.sparsity)}."
    return "\n".join([head, table(("block", *names.values()), rows), whole])
