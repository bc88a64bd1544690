"""The model card of a pruned model: README.md as the Hub reads it, a YAML header and what people should know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.base.patterns import SemiStructured
from apt_core.events.records import RunRecord
from apt_core.families import BLOCK_WIDTHS
from apt_core.models.catalogue.entries import CATALOGUE, dequantised
from apt_core.models.fetch.hub_cache import is_hub_id
from apt_core.reports import reproduce, run_words
from apt_core.reports.document import stamped_facts
from apt_core.reports.markdown import answers, bullets, escaped, fenced
from apt_core.texts.titles import text_title

if TYPE_CHECKING:
    import huggingface_hub
else:
    huggingface_hub = lazy("huggingface_hub")

CARD = "README.md"
FOLDER = "FOLDER"  # stands for the place that whoever gets the folder puts it
# How the Hub writes the licences of the catalogue.
_LICENCES = {
    "Apache-2.0": "apache-2.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "Gemma Terms of Use": "gemma",
    "Llama 3.2 Community License": "llama3.2",
    "MIT": "mit",
}
# Names of licences that the Hub knows; any other is `other` there, with its name beside it.
_ON_THE_HUB = frozenset(
    (
        *("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense", "cc0-1.0"),
        *("cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "openrail"),
        *("bigscience-openrail-m", "bigscience-bloom-rail-1.0", "bigcode-openrail-m", "gemma"),
        *("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4"),
    )
)
_USE = """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")"""
_USE_UNEVEN = """import apt_core  # from a checkout of APT Studio: pip install .

model, tokenizer = apt_core.load_model("FOLDER")"""


def model_card(
    record: RunRecord,
    title: str,
    base: str,
    uneven: bool = False,
    stated: str | None = None,
    where: str = FOLDER,
) -> str:
    """base: the catalogue name, Hub id or folder of the model that was there before any pruning. uneven: whether blocks
    differ in width. stated: the licence that the base's repository states. where: what `from_pretrained` is to open,
    the repository's name once the model is pushed. Files are named without their folders, because the card goes to
    others. Raises BadInput for a run that pruned nothing."""
    if len(record.job.subjects) == 1:
        raise BadInput(f"Run {record.id} measures a model and makes none, so there is no model to describe.")
    by, amount = record.job.labels
    licence = licence_of(base, stated)
    done = "pruned" if run_words.prunes(record) else record.job.done
    parts = (
        f"---\n{_header(record, title, base, uneven, licence)}\n---",
        f"# {escaped(title)}, {done} with {escaped(by)} ({escaped(amount)})",
        f"**{escaped(run_words.headline_sentence(record, title))}**",
        _how_stored(record, uneven),
        fenced((_USE_UNEVEN if uneven else _USE).replace(FOLDER, where), "python"),
        _base_section(base),
        "## Figures",
        bullets((figure.name, f"{figure.value}; {figure.said}") for figure in run_words.figures(record)),
        answers(record.answers) if record.answers else "",
        "## Recipe and conditions",
        bullets(stamped_facts(record)),
        "## Limits",
        "\n".join(f"- {escaped(limit)}" for limit in _limits(record, licence)),
        "## Reproduce",
        fenced(reproduce.command(record.job), "sh"),
        fenced(reproduce.python_source([record.job]), "python"),
        "APT Studio made this model. It implements APT (arXiv 2410.15567) and other published pruning methods.",
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _base_section(base: str) -> str:
    """Which file the weights come from, where that is not what the base's own repository holds."""
    entry = CATALOGUE.get(base)
    if entry is None or not entry.quantised:
        return ""
    original = f" The original is {entry.hub_id}; none of its files was read." if entry.hub_id else ""
    return (
        f"## Base\n\nThe weights come from `{entry.file}`, and are {dequantised(base)}. Every figure below, the "
        f"dense model's too, stands on these weights.{original}"
    )


def _how_stored(record: RunRecord, uneven: bool) -> str:
    if record.shrunk:
        gone = run_words.structures_gone(record.shrunk)
        stored = f"What was removed is not stored any more ({gone}). The plain safetensors checkpoint"
    else:
        stored = "The weights that were removed are stored as zeros in a plain safetensors checkpoint, which"
    if not uneven:
        return f"{stored} loads as any other:"
    verb = "has" if record.shrunk else "has, as the model that it was pruned from,"
    return (
        f"{stored} {verb} blocks of different widths, stated in config.json as {BLOCK_WIDTHS}. Only APT Studio loads "
        "it, and llama.cpp a GGUF of it (export --gguf, architecture deci); plain transformers refuses it:"
    )


def licence_of(base: str, stated: str | None = None) -> tuple[str, str] | None:
    """(what people call it, what the Hub calls it), as the catalogue or else the repository states it; None where it
    is not known here."""
    if entry := CATALOGUE.get(base):
        return entry.license, _LICENCES.get(entry.license, "other")
    return (stated, stated if stated in _ON_THE_HUB else "other") if stated else None


def _header(record: RunRecord, title: str, base: str, uneven: bool, licence: tuple[str, str] | None) -> str:
    fields: dict[str, Any] = {
        "library_name": "apt-studio" if uneven else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["pruned", "smaller" if record.shrunk else "sparse", "apt-studio", *_tags(record)],
    }
    if read := _datasets(record):
        fields["datasets"] = read
    if results := _results(record):
        fields |= {"model_name": title, "eval_results": results}
    if hub_id := _hub_id(base):
        fields["base_model"] = hub_id
    if licence:
        fields["license"] = licence[1]
        if licence[1] == "other":
            fields["license_name"] = licence[0]
    return huggingface_hub.ModelCardData(**fields).to_yaml().strip()


def _tags(record: RunRecord) -> tuple[str, ...]:
    """The method, and the pattern of semi-structured sparsity; of a recovery the method alone."""
    if run_words.prunes(record):
        pattern = record.making.pattern
        n_m = (pattern.label,) if isinstance(pattern, SemiStructured) else ()
        return record.making.method.name, *n_m
    return record.job.done, str(record.job.request(str)["method"])


def _datasets(record: RunRecord) -> list[str]:
    """The datasets of the Hub that the run read; texts of other sources have no name there."""
    return list(dict.fromkeys(name for text in record.job.reads if (name := _dataset(text.text))))


def _dataset(text: str) -> str:
    """'Salesforce/wikitext' of 'hub:Salesforce/wikitext:wikitext-2-raw-v1'; empty for any other text."""
    return text.removeprefix("hub:").split(":")[0] if text.startswith("hub:") else ""


def _results(record: RunRecord) -> list[huggingface_hub.EvalResult]:
    """The perplexities of the model that the run made."""
    return [
        huggingface_hub.EvalResult(
            task_type="text-generation",
            dataset_type=_dataset(one.text) or text_title(one.text),
            dataset_name=text_title(one.text),
            metric_type="perplexity",
            metric_name=f"perplexity, {one.windows} windows of {one.length} tokens ({one.protocol})",
            metric_value=round(one.perplexity, 4),
        )
        for one in record.evaluated_on(record.job.subjects[-1])
    ]


def _hub_id(base: str) -> str | None:
    entry = CATALOGUE.get(base)
    if entry and entry.hub_id:
        return entry.hub_id
    return base if is_hub_id(base) and (entry is None or entry.source == "hub") else None


def _limits(record: RunRecord, licence: tuple[str, str] | None) -> list[str]:
    """What the figures do not say."""
    return [
        run_words.honest_sentence(record)
        if run_words.prunes(record)
        else "Its zeros are those of the pruned model that it was recovered from, and so are its size and its speed.",
        "Perplexity was measured on the texts and windows named above; it says nothing about other texts, tasks, "
        "safety or bias, for which the pruned model has to be tested again.",
        "Every limit on the use of the base model holds for this model too.",
        f"Licence of the base model: {licence[0]}."
        if licence
        else "The licence of the base model holds; it is not known to the program that wrote this card.",
        *run_words.warnings(record),
    ]
