"""A run in words and figures: what the page and every report say of it, without any markup."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.words import (
    DASH,
    count,
    duration,
    number,
    percent,
    sentence,
    size,
    tally,
    times,
    verdict_sentence,
)
from apt_core.events import Diverged, Evaluated, Shrunk, TaskScored
from apt_core.events.records import RunRecord, public_name
from apt_core.jobs import Calibration, Evaluation
from apt_core.models.catalogue.entries import dequantised, title_of
from apt_core.reports.verdict import pace, spread, verdict
from apt_core.studies.ratios import interval_words, ratio_to_dense
from apt_core.studies.search_gain import gain_sentence
from apt_core.texts.titles import text_title

_NOT_YET = "Size and speed are measured before and after pruning. Zeros alone save nothing."


class Side(NamedTuple):
    """A value of a figure. subject: dense, pruned, model, or nothing where the figure is of the run."""

    subject: str
    text: str


class Figure(NamedTuple):
    """A headline number. term: the word that explains itself, empty where none does. detail: conditions and intervals,
    which follow the note where there is room."""

    name: str
    term: str
    sides: tuple[Side, ...]
    aside: str
    note: str
    detail: str = ""

    @property
    def said(self) -> str:
        """Note and detail in one line."""
        return f"{self.note} {self.detail}".strip().replace(" ;", ";")

    @property
    def value(self) -> str:
        """'dense 14.9 → pruned 61.9', or the one number there is."""
        if len(self.sides) == 1:
            return f"{self.sides[0].text}{f' ({self.aside})' if self.aside else ''}"
        return " → ".join(f"{side.subject} {side.text}" for side in self.sides)


def run_title(record: RunRecord, known: Callable[[str], RunRecord | None]) -> str:
    """'SmolLM2 135M'; of a model that a run made its title and what was done to it."""
    if (made_by := record.made_from) and (origin := known(made_by)):
        return f"{run_title(origin, known)} ({origin.job.label})"
    return record.model.title if record.model else title_of(record.job.model.id)


def prunes(record: RunRecord) -> bool:
    """Whether this kind of job makes a model of a model, so that two are compared."""
    return "pruned" in record.job.subjects


def compares_sizes(record: RunRecord) -> bool:
    """Whether size and speed of two models are said; of a recovery once they are known."""
    return prunes(record) or record.pruned_speed is not None


def has_numbers(record: RunRecord) -> bool:
    """Whether there is anything yet that a table, a chart or a report can show."""
    return bool(record.layers or record.evaluated)


def headline_sentence(record: RunRecord, title: str) -> str:
    """The sentence of the run, whatever its state."""
    if record.status == "finished":
        if prunes(record):
            return verdict_of_run(record, title)
        return _recovered(record, title) if record.training else _measured(record, title)
    done = record.job.done
    return {
        "failed": f"{title} could not be {done} to the end.",
        "cancelled": f"{title} was stopped before it finished.",
        "queued": f"{title} is waiting to be {done}.",
        "stopping": f"{title} is being stopped.",
    }.get(record.status, f"{title} is being {done}.")


def verdict_of_run(record: RunRecord, title: str) -> str:
    """'Tiny is clearly worse on Wikipedia summaries after APT removed half of its layer weights.'"""
    return verdict_sentence(record, title, text_title(record.job.evaluation[0].text))


def same_tokens(found: Diverged) -> str:
    """'Both models predict the same next token 83.1% of the time (95% CI 82 to 84.2%).'"""
    between = (
        ""
        if found.agreement_low is None
        else f" (95% CI {percent(found.agreement_low)} to {percent(found.agreement_high)})"
    )
    return f"Both models predict the same next token {percent(found.agreement)} of the time{between}."


def asked(record: RunRecord, title: str) -> str:
    """'SmolLM2 135M · APT · 2:4 · 32 × 512 tokens of Wikipedia summaries · seed 0'."""
    job = record.job
    read = [f"{text.samples} × {text.length} tokens of {text_title(text.text)}" for text in job.reads]
    seed = [f"seed {job.drawn_by}"] if job.drawn_by is not None else []
    return " · ".join((title, job.label, *read, *seed))


def conditions(record: RunRecord) -> str:
    """When and on what it was measured; nothing before that is known."""
    if record.conditions:
        return sentence(record.conditions)
    if record.ended_at and record.model:
        when = datetime.fromtimestamp(record.ended_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"{when} · {record.model.hardware} · {record.model.dtype}"
    return ""


def figures(record: RunRecord) -> tuple[Figure, ...]:
    """Perplexity, agreement where it is measured, size (until it is known, and where the shape changed, what is
    removed), time and memory; a dash for what is not known."""
    smaller = (_packed(record) or _removed(record),) if prunes(record) else ()
    apart = tuple(map(_agreement, record.diverged[:1]))
    return (_perplexity(record), *apart, *smaller, *map(_task, record.scored), _cost(record))


def sizes(record: RunRecord) -> tuple[tuple[str, str, str], ...]:
    """(what, dense, pruned), measured on one machine."""
    dense, pruned = record.dense_speed, record.pruned_speed
    return (
        (
            "size on disk",
            size(dense.bytes_on_disk if dense else None),
            size(pruned.bytes_on_disk if pruned else None),
        ),
        *_other_sizes(record),
        *speeds(record),
    )


def _other_sizes(record: RunRecord) -> list[tuple[str, str, str]]:
    """Compressed, packed and in memory; nothing of runs that did not look."""
    dense, pruned = record.size_of("dense"), record.size_of("pruned")
    if dense is None or pruned is None:
        return []
    return [
        (f"compressed by zstd {pruned.zstd_level}", size(dense.compressed), size(pruned.compressed)),
        ("packed (bit mask and kept values)", size(dense.packed), size(pruned.packed)),
        ("weights in memory", size(dense.resident), size(pruned.resident)),
    ]


def honest_sentence(record: RunRecord) -> str:
    """What was gained in size and speed, and whether a search was worth it."""
    return " ".join(filter(None, [verdict(record) or _NOT_YET, gain_sentence(record)]))


def warnings(record: RunRecord) -> list[str]:
    """The warnings of the run, each once."""
    return list(dict.fromkeys(sentence(warning.message) for warning in record.warnings))


def provenance(record: RunRecord, policy: HostPolicy = STRICT) -> list[tuple[str, str]]:
    """Everything that decided the result, for those who want to get it again."""
    job, model = record.job, record.model
    name = public_name(job.model.id, policy) + (f" @ {job.model.revision}" if job.model.revision else "")
    pairs = [("run", record.id), ("model", name)]
    if lost := dequantised(job.model.id):
        pairs.append(("weights", lost))
    pairs += job.facts(windows)
    pairs.append(("evaluation", ", ".join(map(windows, job.evaluation))))
    if record.layers:
        pairs.append(("mean relative error", number(record.mean_relative_error)))
    if model:
        pairs += [
            ("architecture", f"{model.architecture}, {model.blocks} blocks, {model.total_layers} layers"),
            ("device", f"{model.device}, {model.dtype}, {model.hardware}"),
            ("versions", ", ".join(f"{name} {version}" for name, version in model.versions.items())),
        ]
    return pairs


def windows(read: Calibration | Evaluation) -> str:
    """'12 × 1024 of Wikipedia summaries'."""
    skipped = f", the first {read.skip} left out" if isinstance(read, Evaluation) and read.skip else ""
    return f"{read.samples} × {read.length} of {text_title(read.text)}{skipped}"


def _measured(record: RunRecord, title: str) -> str:
    """'SmolLM2 has a perplexity of 14.9 on Wikipedia summaries.'"""
    if not record.evaluated:
        return f"{title} was not measured."
    first, *more = record.evaluated
    if not more:
        return f"{title} has a perplexity of {number(first.perplexity)} on {text_title(first.text)}."
    known = sorted(one.perplexity for one in record.evaluated)
    ends = dict.fromkeys(
        number(perplexity) for perplexity in (known[0], known[-1])
    )  # once, where they are alike
    return f"{title} has a perplexity of {' to '.join(ends)} on {len(known)} texts."


def _recovered(record: RunRecord, title: str) -> str:
    """'SmolLM2 (APT · 2:4): perplexity 55 before and 41.2 after 50 steps of SPP; the dense model has 14.1.'"""
    before, made, dense = record.before, record.made, record.dense
    if before is None or made is None or not record.steps:
        return f"{title} was trained, but not measured on both sides."
    steps = tally(record.steps[-1].step)
    said = f"{title}: perplexity {number(before.perplexity)} before and {number(made.perplexity)} after {steps} steps"
    against = f"; the dense model has {number(dense.perplexity)}" if dense else ""
    return f"{said} of {record.job.labels[0]}{against}."


_SIDES = {"before": "before training", "recovered": "after it", "start": "uniform widths", "pruned": "found"}


def _perplexity(record: RunRecord) -> Figure:
    """One number for each model that is measured, on the first text."""
    first = {subject: next(iter(record.evaluated_on(subject)), None) for subject in record.job.subjects}
    sides = tuple(Side(subject, number(one.perplexity) if one else DASH) for subject, one in first.items())
    against = ratio_to_dense(record)
    between = f"({said})" if against and (said := interval_words(against)) else ""
    computed = (
        f", in {record.model.dtype}" if record.model else ""
    )  # a recovery measures the dense model anew
    if record.ratio and len(first) > 2:
        whose = ", ".join(_SIDES.get(subject, subject) for subject in first)
        note = f"{whose}; {times(record.ratio)} the dense model"
        detail = f"{between}{computed}; lower is better"
    elif record.ratio:
        where = text_title(record.job.evaluation[0].text)
        note = f"{times(record.ratio)} the dense model"
        detail = f"on {where}{between and f' {between}'}{computed}; lower is better"
    else:
        one = next(iter(first.values()))
        note, detail = _interval(one) if one and len(first) == 1 else " → ".join(first), ""
    return Figure("Perplexity", "perplexity", sides, "", note, detail)


def _agreement(one: Diverged) -> Figure:
    """'87.3%', and how far the next-token distributions are apart."""
    share = Side("", percent(one.agreement))
    between = (
        f"(95% CI {percent(one.agreement_low)} to {percent(one.agreement_high)})"
        if one.agreement_low is not None and one.agreement_high is not None
        else ""
    )
    apart = f"KL {number(one.kl)}"
    return Figure("Top-1 agreement", "agreement", (share,), apart, "with the dense model", between)


def _task(one: TaskScored) -> Figure:
    """'arc_easy, acc 0.43'; its standard error, examples and version below."""
    error = f"standard error {number(one.stderr)}, " if one.stderr is not None else ""
    note = f"{one.metric}; {error}{one.examples} examples, {one.shots} shots, version {one.version}, {one.harness}"
    return Figure(one.task, "", (Side("", number(one.value)),), "", note)


def _interval(one: Evaluated) -> str:
    where = f"on {text_title(one.text)}"
    if one.low is None or one.high is None:
        return where
    return f"{where}; {number(one.low)} to {number(one.high)} with 95% confidence"


def _packed(record: RunRecord) -> Figure | None:
    """'173 MB (of 269 MB)': with a bit mask and the kept values; None where it is not known or nothing is zero."""
    dense, pruned = record.size_of("dense"), record.size_of("pruned")
    if record.shrunk or dense is None or pruned is None:
        return None
    zero = f"{percent(record.sparsity)} of the layer weights are zero ({_of_all(record)})"
    return Figure(
        "Size, packed",
        "packed",
        (Side("", size(pruned.packed)),),
        f"of {size(dense.packed)}",
        f"{size(pruned.on_disk)} with zeros stored",
        f"; {zero}",
    )


def _of_all(record: RunRecord) -> str:
    """'31.9 million of 106 million in 210 layers; 23.7% of the whole model'"""
    removed = sum(layer.removed for layer in record.layers)
    weights = sum(layer.shape[0] * layer.shape[1] for layer in record.layers)
    said = f"{count(removed)} of {count(weights)} in {len(record.layers)} layers"
    if record.finished and record.finished.parameters:
        said += f"; {percent(removed / record.finished.parameters)} of the whole model"
    return said


def _removed(record: RunRecord) -> Figure:
    name, term = "Weights removed", "sparsity"
    if record.shrunk:
        return Figure(
            name, term, (Side("", percent(record.shrunk.share)),), "", structures_gone(record.shrunk)
        )
    if not record.layers:
        return Figure(name, term, (Side("", DASH),), "", "of the linear layers in the decoder blocks")
    return Figure(name, term, (Side("", percent(record.sparsity)),), "", _of_all(record))


def structures_gone(shrunk: Shrunk) -> str:
    """'blocks 2 and 5 of 8; 821 k parameters became 624 k'"""
    gone = shrunk.removed_blocks
    numbers = ", ".join(map(str, gone))
    blocks = f"{'block' if len(gone) == 1 else 'blocks'} {numbers} of {shrunk.blocks}"
    narrowed = [f"{one.staying} stay" for one in shrunk.widths if one.after < one.before]
    parameters = f"{count(shrunk.dense_parameters)} parameters became {count(shrunk.parameters)}"
    alone = ["blocks differ in width, which plain transformers does not load"] if shrunk.uneven else []
    return "; ".join([*([blocks] if gone else []), *narrowed, parameters, *alone])


def _cost(record: RunRecord) -> Figure:
    name = "Time and memory"
    if record.finished is None:
        return Figure(name, "", (Side("", DASH),), "", "in all, with everything that is measured")
    seconds = record.finished.seconds
    pruning = f"{duration(seconds.get('prune'))} of it pruning" if "prune" in seconds else "in all"
    total = Side("", duration(seconds.get("total")))
    return Figure(name, "", (total,), f"peak {size(record.finished.peak_rss_bytes)}", pruning)


def speeds(record: RunRecord) -> list[tuple[str, str, str]]:
    """(what, dense, pruned): prefill and decoding with their spread; one number each where they were not measured in
    turns."""
    dense, pruned = record.dense_speed, record.pruned_speed
    if dense and pruned and dense.decode and pruned.decode and dense.prefill and pruned.prefill:
        return [
            ("tokens a second, prompt", spread(dense.prefill), spread(pruned.prefill)),
            ("tokens a second, answer", spread(dense.decode), spread(pruned.decode)),
        ]
    if dense and pruned and pace(dense, pruned) == "not measurable now":
        return [("tokens a second", "not measurable", "not measurable")]
    before, after = (number(one.tokens_per_second if one else None) for one in (dense, pruned))
    return [("tokens a second", before, after)]
