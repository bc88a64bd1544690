"""The same numbers as the charts, as tables; and the panel that says what pruning did not buy."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.patterns import SemiStructured
from apt_core.base.words import DASH, duration, number, percent, sentence, size, times
from apt_core.events import Evaluated, LayerPruned
from apt_core.events.projections import parts_of
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.ui.views.headline import text_title
from apt_core.ui.views.html import Markup, Row, facts, join, table


def layer_table(record: RunRecord) -> Markup:
    """Every pruned layer, in the order in which it was pruned; below it the projections that its rows are."""
    rows = [row for layer in record.layers for row in (_layer_row(layer), *map(_part_row, parts_of(layer)))]
    heads = ("block", "layer", "shape", "relative error", "removed", "pattern exact", "time")
    return table(heads, rows, f"{len(record.layers)} pruned layers", "ntnnntn")


def _layer_row(layer: LayerPruned) -> Row:
    few = f" (only {layer.tokens:,} tokens)" if layer.few_tokens else ""
    exact = "yes" if layer.pattern_valid else "NO"
    return _row(layer, layer.layer + few, exact, duration(layer.seconds))


def _part_row(part: LayerPruned) -> Row:
    """Exactness and time are said of the whole layer, in the row above."""
    return _row(part, part.layer, "", "")


def _row(layer: LayerPruned, name: str, exact: str, time: str) -> Row:
    cells = (
        str(layer.block),
        name,
        f"{layer.shape[0]} × {layer.shape[1]}",
        number(layer.relative_error),
        percent(layer.sparsity),
        exact,
        time,
    )
    return Row(cells, Markup('data-layer="{}:{}"').format(layer.block, layer.layer))


def perplexity_table(record: RunRecord, references: Sequence[RunRecord] = ()) -> Markup:
    """Both sides, and the pruned side of comparable runs of other methods."""
    sides = [("dense", record.dense), ("pruned", record.pruned)]
    sides += [(f"pruned by {other.job.method.label}", other.pruned) for other in references]
    rows = [
        (
            side,
            number(measured.perplexity) if measured else DASH,
            str(measured.windows) if measured else DASH,
            str(measured.length) if measured else DASH,
            f"{measured.tokens:,}" if measured else DASH,
            _seconds(measured),
        )
        for side, measured in sides
    ]
    heads = ("model", "perplexity", "windows", "tokens each", "predicted tokens", "time")
    protocol = record.dense.protocol if record.dense else "measured before and after pruning"
    return table(heads, rows, f"Perplexity, protocol {protocol}", "tnnnnn")


def size_panel(record: RunRecord) -> Markup:
    """Size on disk and speed, measured, and the sentence that nobody likes to hear."""
    dense, pruned = record.dense_speed, record.pruned_speed
    rows = (
        (
            "size on disk",
            size(dense.bytes_on_disk if dense else None),
            size(pruned.bytes_on_disk if pruned else None),
        ),
        ("tokens a second", _speed(dense), _speed(pruned)),
    )
    return Markup('<div class="sizes">{}<p class="honest">{}</p></div>').format(
        table(("what", "dense", "pruned"), rows, "Measured on this machine", "tnn"),
        honest_sentence(record),
    )


def honest_sentence(record: RunRecord) -> str:
    """Built from what was measured; says 'same' only where it is (2% for size, 10% for speed)."""
    dense, pruned = record.dense_speed, record.pruned_speed
    if dense is None or pruned is None:
        return "Size and speed are measured before and after pruning. Zeros alone save nothing."
    same_size = _near(pruned.bytes_on_disk / max(dense.bytes_on_disk, 1), 0.02)
    on_disk = f"{size(pruned.bytes_on_disk)} on disk, not {size(dense.bytes_on_disk)}"
    size_words = "Same size on disk" if same_size else on_disk
    if dense.tokens_per_second is None or pruned.tokens_per_second is None:
        return (
            f"{size_words}: zeros alone save nothing. Speed was not measured, because the weights were read "
            f"from disk block by block. {_what_could(record)}"
        )
    speed = pruned.tokens_per_second / dense.tokens_per_second if dense.tokens_per_second else 1.0
    if _near(speed, 0.1):
        return f"{size_words} and same speed here: zeros alone save nothing. {_what_could(record)}"
    return (
        f"{size_words}: zeros alone save nothing. The pruned model wrote {times(speed)} as fast, but both run the "
        f"same dense code: that difference is what else the machine was doing. {_what_could(record)}"
    )


def warnings_block(record: RunRecord) -> Markup:
    """What the run had to say on the way, without repeating itself."""
    messages = list(dict.fromkeys(sentence(warning.message) for warning in record.warnings))
    if not messages:
        return Markup("")
    return Markup('<ul class="warnings" aria-label="Warnings">{}</ul>').format(
        join(Markup("<li>{}</li>").format(message) for message in messages)
    )


def provenance(record: RunRecord) -> Markup:
    """Everything that decided the result, for those who want to get it again."""
    recipe, model = record.job, record.model
    pairs = [
        ("run", record.id),
        ("model", recipe.model.id + (f" @ {recipe.model.revision}" if recipe.model.revision else "")),
        *(_pruned_how(recipe) if isinstance(recipe, Prune) else [("job", recipe.label)]),
        (
            "evaluation",
            ", ".join(f"{one.samples} × {one.length} of {text_title(one.text)}" for one in recipe.evaluation),
        ),
        ("mean relative error", number(record.mean_relative_error)),
    ]
    if model:
        pairs += [
            ("architecture", f"{model.architecture}, {model.blocks} blocks, {model.total_layers} layers"),
            ("device", f"{model.device}, {model.dtype}, {model.hardware}"),
            ("versions", ", ".join(f"{name} {version}" for name, version in model.versions.items())),
        ]
    return facts(pairs)


def _pruned_how(job: Prune) -> list[tuple[str, str]]:
    options = ", ".join(f"{name} {value}" for name, value in job.method.model_dump().items()) or "none"
    text = job.calibration
    return [
        ("method", f"{job.method.label} ({job.method.source})"),
        ("options", options),
        ("calibration", f"{text.samples} × {text.length} of {text_title(text.text)}"),
    ]


def _seconds(measured: Evaluated | None) -> str:
    if measured is None:
        return DASH
    return duration(measured.seconds) + (" (measured once, reused)" if measured.reused else "")


def _speed(measured) -> str:
    return number(measured.tokens_per_second if measured else None)


def _near(ratio: float, tolerance: float) -> bool:
    return abs(ratio - 1) <= tolerance


def _what_could(record: RunRecord) -> str:
    pattern = record.job.pattern
    if isinstance(pattern, SemiStructured) and (pattern.keep, pattern.of) == (2, 4):
        return (
            "With a 2:4 kernel on an NVIDIA GPU the large layers can run faster; that is not measured here."
        )
    return "To gain from it, a runtime must skip the zeros; only 2:4 has hardware for that, on NVIDIA GPUs."
