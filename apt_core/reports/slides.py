"""A finished run as slides for people who decide: what pruning is, what went, what it cost. A fold of the record;
loads no torch and knows no markup."""

from __future__ import annotations

import re
from typing import NamedTuple

from apt_core.base.errors import BadInput
from apt_core.base.patterns import SemiStructured
from apt_core.base.words import count, number, sentence, share, shortened, tally, times
from apt_core.base.words import verdict as band
from apt_core.events import Answers, Evaluated
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.reports import run_words
from apt_core.reports.run_words import Figure, Side
from apt_core.reports.verdict import verdict_of
from apt_core.texts.titles import text_title

_PERPLEXITY = (
    "Perplexity says how surprised a model is by text it has not seen: about the number of words it wavers between "
    "at each step. Lower is better."
)


class Slide(NamedTuple):
    """name: in ids. rows: (what, dense, pruned). picture: the job whose pattern is drawn beside the words."""

    name: str
    title: str
    lines: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    rows: tuple[tuple[str, str, str], ...] = ()
    picture: Prune | None = None
    answers: Answers | None = None


def slides_of(record: RunRecord, title: str) -> tuple[Slide, ...]:
    """The slides of a run that pruned a model to the end; raises BadInput with one sentence for any other.

    title: of the model. What both models answered has a slide for each question, the standard one and the last that was
    asked.
    """
    _check(record)
    made = (
        _pruning(record),
        _removed(record, title),
        _cost(record),
        *(_answers(one) for one in dict.fromkeys((*record.questions[:1], *record.questions[-1:]))),
        _gain(record),
    )
    return (*made, Slide("verdict", one_sentence(record, title), (run_words.conditions(record),)))


def one_sentence(record: RunRecord, title: str) -> str:
    """The verdict in one sentence: method, share, quality, text, size and speed."""
    method, gone = record.pruning.method.label, share(record.sparsity)
    if record.ratio is None or record.dense is None or record.pruned is None:
        return f"{method} removed {gone} of the layer weights of {title}; what that cost was not measured."
    words = band(record.ratio)
    verb = "has" if words == "hardly changed" else "is"
    return (
        f"{title} {verb} {words} after {method} removed {gone} of its layer weights: perplexity on "
        f"{text_title(record.pruned.text)} {_went(record.dense, record.pruned)}{_gained(record)}."
    )


def _check(record: RunRecord) -> None:
    if not run_words.prunes(record):
        raise BadInput(f"Run {record.id} only measured a model; choose a run that pruned one.")
    if record.job.reshapes:
        raise BadInput(
            f"Slides explain zeros among the weights, and run {record.id} made a smaller model; export its "
            "report instead."
        )
    if record.live:
        raise BadInput(f"Run {record.id} has not finished yet; present it once it has.")
    if record.finished is None or not record.layers:
        raise BadInput(f"Run {record.id} did not finish, so there is nothing to present; prune again.")


def _pruning(record: RunRecord) -> Slide:
    return Slide(
        "pruning",
        "Pruning sets weights of a model to zero",
        (
            "A language model is made of millions of numbers, its weights. Pruning chooses those that matter least "
            "and sets them to exactly zero.",
            "The question is always the same: what is left of the model?",
        ),
        picture=record.pruning,
    )


def _removed(record: RunRecord, title: str) -> Slide:
    job = record.pruning
    removed = sum(layer.removed for layer in record.layers)
    weights = sum(layer.shape[0] * layer.shape[1] for layer in record.layers)
    figure = Figure(
        "Weights set to zero",
        "",
        (Side("", count(removed)),),
        f"of {count(weights)}",
        f"in {len(record.layers)} layers of {title}",
    )
    text = (
        f"{job.calibration.samples} × {job.calibration.length} tokens of {text_title(job.calibration.text)}"
    )
    lines = (
        f"{job.method.label}: {job.method.summary}",
        f"Calibrated on {text}, seed {job.seed}. {job.method.source}.",
    )
    return Slide("removed", f"Removed here: {_pattern(job)}", lines, (figure,))


def _pattern(job: Prune) -> str:
    """'2 of every 4 neighbours', '30% of the weights of every layer'."""
    pattern = job.pattern
    if isinstance(pattern, SemiStructured):
        gone = pattern.of - pattern.keep
        if pattern.mixed:
            return f"{tally(gone)} of every {tally(pattern.of)} neighbours on average, each layer a number of its own"
        return f"{tally(gone)} of every {tally(pattern.of)} neighbours ({pattern.label} keeps {tally(pattern.keep)})"
    if job.method.allocation.varies(pattern):
        return f"{pattern.label} of the weights, more where its loss is less sensitive"
    return f"{pattern.label} of the weights of every layer"


def _cost(record: RunRecord) -> Slide:
    pairs = _pairs(record)
    figures = tuple(_of_text(dense, pruned) for dense, pruned in pairs)
    lines = (*map(run_words.same_tokens, record.diverged), _PERPLEXITY)
    return Slide("cost", _cost_title(record), lines, figures)


def _pairs(record: RunRecord) -> list[tuple[Evaluated, Evaluated]]:
    """Both models on each text that both have read."""
    dense = {one.text: one for one in record.evaluated_on("dense")}
    return [(dense[one.text], one) for one in record.evaluated_on("pruned") if one.text in dense]


def _cost_title(record: RunRecord) -> str:
    if record.ratio is None:
        return "What it cost was not measured"
    return f"What it cost: the model {'has' if band(record.ratio) == 'hardly changed' else 'is'} {band(record.ratio)}"


def _of_text(dense: Evaluated, pruned: Evaluated) -> Figure:
    return Figure(
        f"Perplexity on {text_title(pruned.text)}",
        "perplexity",
        (Side("dense", number(dense.perplexity)), Side("pruned", number(pruned.perplexity))),
        times(pruned.perplexity / dense.perplexity),
        f"95% intervals: {_interval(dense)} dense, {_interval(pruned)} pruned, {pruned.windows} windows"
        if dense.low is not None and pruned.low is not None
        else f"{pruned.windows} windows of {pruned.length} tokens",
    )


def _interval(one: Evaluated) -> str:
    return f"{number(one.low)} to {number(one.high)}"


def _answers(answers: Answers) -> Slide:
    prompt = shortened(answers.question.prompt, 120)
    return Slide("answers", f"Both were asked: {prompt}", answers=answers)


def _gain(record: RunRecord) -> Slide:
    if (found := _verdict(record)) is None:
        line = run_words.honest_sentence(record)
        return Slide("gain", "Is it smaller or faster?", (line,), rows=run_words.sizes(record))
    said, why = found
    return Slide("gain", said, (sentence(why),), rows=run_words.sizes(record))


def _gained(record: RunRecord) -> str:
    """', and it is not smaller or faster yet'; nothing where that was not measured."""
    found = _verdict(record)
    return f", and it is {found[0][0].lower()}{found[0][1:]}" if found else ""


def _verdict(record: RunRecord) -> tuple[str, str] | None:
    """('Not smaller or faster yet', 'zeros are still stored ...'); None where sizes were not measured."""
    found = verdict_of(record)
    if found is None:
        return None
    said = re.split("[:;]", found.lead)[0].rstrip(".")
    return said, found.sentence.removeprefix(said).lstrip(" :;.")


def _went(dense: Evaluated, pruned: Evaluated) -> str:
    before, after = number(dense.perplexity), number(pruned.perplexity)
    if before == after:
        return f"stayed at {after}"
    return f"{'rose' if pruned.perplexity > dense.perplexity else 'fell'} from {before} to {after}"
