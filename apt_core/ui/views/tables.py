"""Size and speed, warnings, and how a run was made."""

from __future__ import annotations

from apt_core.base.patterns import SemiStructured
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.words import number, sentence, size, times
from apt_core.events.records import RunRecord, public_name
from apt_core.jobs import Calibration, Evaluation, Prune
from apt_core.texts.titles import text_title
from apt_core.ui.views.html import Markup, facts, join, table


def size_panel(record: RunRecord) -> Markup:
    """Size on disk and speed, measured, and the sentence that nobody likes to hear; nothing where no model is made."""
    if "pruned" not in record.job.subjects:
        return Markup("")
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


def provenance(record: RunRecord, policy: HostPolicy = STRICT) -> Markup:
    """Everything that decided the result, for those who want to get it again."""
    job, model = record.job, record.model
    name = public_name(job.model.id, policy) + (f" @ {job.model.revision}" if job.model.revision else "")
    pairs = [("run", record.id), ("model", name)]
    if isinstance(job, Prune):
        pairs += _method_facts(job)
    pairs.append(("evaluation", ", ".join(map(_windows, job.evaluation))))
    if record.layers:
        pairs.append(("mean relative error", number(record.mean_relative_error)))
    if model:
        pairs += [
            ("architecture", f"{model.architecture}, {model.blocks} blocks, {model.total_layers} layers"),
            ("device", f"{model.device}, {model.dtype}, {model.hardware}"),
            ("versions", ", ".join(f"{name} {version}" for name, version in model.versions.items())),
        ]
    return facts(pairs)


def _method_facts(job: Prune) -> list[tuple[str, str]]:
    options = ", ".join(f"{name} {value}" for name, value in job.method.settings().items())
    return [
        ("method", f"{job.method.label} ({job.method.source})"),
        ("options", options),
        ("calibration", _windows(job.calibration)),
    ]


def _windows(read: Calibration | Evaluation) -> str:
    skipped = f", the first {read.skip} left out" if isinstance(read, Evaluation) and read.skip else ""
    return f"{read.samples} × {read.length} of {text_title(read.text)}{skipped}"


def _speed(measured) -> str:
    return number(measured.tokens_per_second if measured else None)


def _near(ratio: float, tolerance: float) -> bool:
    return abs(ratio - 1) <= tolerance


def _what_could(record: RunRecord) -> str:
    pattern = record.pruning.pattern
    if isinstance(pattern, SemiStructured) and (pattern.keep, pattern.of) == (2, 4):
        return (
            "With a 2:4 kernel on an NVIDIA GPU the large layers can run faster; that is not measured here."
        )
    return "To gain from it, a runtime must skip the zeros; only 2:4 has hardware for that, on NVIDIA GPUs."
