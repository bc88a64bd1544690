"""What a folder of safetensors says about itself, read from its configuration and headers. No torch.

Every door (catalogue, Hub, local folder, a run's own checkpoint) is checked here, before any weight is read.
"""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from apt_core.base.errors import NotAModel
from apt_core.models.checkpoint.agreement import check_agreement as check_agreement
from apt_core.models.checkpoint.packing import (
    DESCRIPTION,
    Packing,
    broken,
    check_parts,
    packed_name,
    parse_packing,
)
from apt_core.models.checkpoint.tensor_facts import IN_BLOCK as IN_BLOCK
from apt_core.models.checkpoint.tensor_facts import TensorFacts as TensorFacts

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZERS = {"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json"}
_COMPANIONS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
_LONGEST_HEADER = 100_000_000  # bytes, the limit of the safetensors format
LONGEST_CONFIG = 10_000_000  # bytes
_WHOLE_BYTES = {
    "F64",
    "F32",
    "F16",
    "BF16",
    "I64",
    "I32",
    "I16",
    "I8",
    "U8",
}  # dtypes that are checked for size
_QUANTISED = ("quantization_config", "compression_config", "quantization")
_CAUSAL = ("ForCausalLM", "LMHeadModel")


def check(folder: Path) -> None:
    """Raise NotAModel with one sentence unless this is a whole safetensors causal language model."""
    if not folder.is_dir():
        raise NotAModel(f"{folder} is a file; choose the folder that holds config.json and the safetensors.")
    names = {entry.name for entry in folder.iterdir()}
    config = read_config(folder)
    check_config(config, str(folder))
    check_agreement(config, read_tensors(folder), str(folder))
    if not names & _TOKENIZERS:
        raise NotAModel(
            f"{folder} has no tokenizer (tokenizer.json or tokenizer.model); copy it beside the weights."
        )
    _check_companions(folder, names)


def _check_companions(folder: Path, names: set[str]) -> None:
    """What is read beside the weights, some of it only when the work is done: raise NotAModel for what cannot be."""
    for name in sorted(names & _TOKENIZERS | names & {*_COMPANIONS}):
        if not _is_regular(folder / name):
            raise NotAModel(f"{name} of {folder} is no ordinary file; download the model again.")
    for name in sorted(names & {*_COMPANIONS}):
        parse_json(_short(folder / name), f"{name} of {folder}")


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of the folder; raises NotAModel when it is missing or no JSON object."""
    file = folder / "config.json"
    if not file.is_file():
        raise NotAModel(
            f"{folder} has no config.json, so it is not a model folder of the transformers library."
        )
    return parse_json(_short(file), f"config.json of {folder}")


def _short(file: Path) -> bytes:
    if file.stat().st_size > LONGEST_CONFIG:
        raise NotAModel(f"{file.name} of {file.parent} is too long to be one; download the model again.")
    return file.read_bytes()


def parse_json(raw: bytes, what: str) -> dict[str, Any]:
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError) as error:  # the second: brackets in brackets in brackets
        raise NotAModel(f"{what} is not readable JSON; download the model again.") from error
    if not isinstance(parsed, dict):
        raise NotAModel(f"{what} is not a JSON object; download the model again.")
    return parsed


def check_config(config: dict[str, Any], where: str) -> None:
    """Raise NotAModel for a quantised model or one that is no causal language model."""
    if packed := _packing(config):
        raise NotAModel(
            f"{where} is already quantised ({packed}), and its packed weights cannot be pruned; choose the original "
            "model in float16, bfloat16 or float32."
        )
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list):
        raise NotAModel(f"config.json of {where} does not list its architectures; choose another model.")
    if config.get("is_encoder_decoder") or (architectures and not any(map(_is_causal, architectures))):
        named = architectures[0] if architectures else "an encoder-decoder"
        raise NotAModel(
            f"{where} is not a causal language model ({named}); choose one such as LlamaForCausalLM."
        )


def _packing(config: dict[str, Any]) -> str | None:
    """How the weights are packed: 'GPTQ', 'compressed-tensors'; None when they are not."""
    packed = next((config[key] for key in _QUANTISED if config.get(key)), None)
    if packed is None:
        return None
    method = packed.get("quant_method") if isinstance(packed, dict) else None
    if method is None and "quantization" in config:
        return "MLX"
    name = str(getattr(method, "value", method) or "in an unknown format")[:40]
    return name.upper() if name in ("gptq", "awq", "fp8", "hqq", "aqlm") else name


def _is_causal(architecture: object) -> bool:
    return str(architecture).endswith(_CAUSAL)


def check_file_names(names: Collection[str], where: str) -> None:
    """Raise NotAModel when there are no safetensors among these file names, and say what is there instead."""
    if SINGLE in names or INDEX in names:
        return
    if any(name.endswith(_PICKLES) for name in names):
        raise NotAModel(
            f"{where} has only pickle weights, which can run code when they are opened; "
            "choose a model with safetensors weights."
        )
    if has_only_gguf(names):
        raise NotAModel(f"{where} has only GGUF weights; choose the original model with safetensors weights.")
    raise NotAModel(f"{where} has no {SINGLE}; choose a model with safetensors weights.")


def has_only_gguf(names: Collection[str]) -> bool:
    return not {SINGLE, INDEX} & set(names) and any(name.endswith(".gguf") for name in names)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the folder; raises NotAModel when there are none or a part is missing."""
    names = {entry.name for entry in folder.iterdir()}
    if is_packed(folder):
        return [folder / packed_name(name) for name in sorted(read_packing(folder).files)]
    check_file_names(names, str(folder))
    if SINGLE in names:
        return [folder / SINGLE]
    parts = _parts_of(folder)
    if missing := sorted(parts - names):
        raise NotAModel(f"{folder} is not whole: {missing[0]} is missing; download the model again.")
    return [folder / name for name in sorted(parts)]


def _parts_of(folder: Path) -> set[str]:
    weight_map = parse_json((folder / INDEX).read_bytes(), f"{INDEX} of {folder}").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise NotAModel(f"{INDEX} of {folder} names no weights; download the model again.")
    parts = {str(name) for name in weight_map.values()}
    if any("/" in name or "\\" in name for name in parts):
        raise NotAModel(f"{INDEX} of {folder} names files outside the folder, so it is not trusted.")
    return parts


def read_header(file: Path) -> dict[str, TensorFacts]:
    """Names, dtypes and shapes of one safetensors file.

    Raises NotAModel when the header is broken or the file's length is not what the header says.
    """
    header, length = _raw_header(file)
    header.pop("__metadata__", None)
    try:
        places = {name: _place(facts, 8 + length) for name, facts in header.items()}
    except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise _broken_header(file) from error
    end = max((end for _, end in places.values()), default=8 + length)
    if file.stat().st_size != end:
        raise NotAModel(f"{file} is cut short: its header promises {end:,} bytes; download it again.")
    _check_places(places, 8 + length, file)
    return {name: facts for name, (facts, _) in places.items()}


def _place(said: Mapping[str, Any], begin: int) -> tuple[TensorFacts, int]:
    """(what a header says of a tensor, where its bytes end in the file); raises whatever is wrong with it."""
    start, end = (_natural(offset) for offset in said["data_offsets"])
    return TensorFacts(str(said["dtype"]), tuple(map(_natural, said["shape"])), begin + start), begin + end


def _natural(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


def _check_places(places: Mapping[str, tuple[TensorFacts, int]], begin: int, file: Path) -> None:
    """Raise NotAModel unless the tensors lie behind one another without gap or overlap, each as long as its shape."""
    reached = begin
    for facts, end in sorted(places.values(), key=lambda place: (place[0].offset, place[1])):
        known = facts.dtype in _WHOLE_BYTES
        if facts.offset != reached or end < facts.offset or (known and facts.offset + facts.n_bytes != end):
            raise _broken_header(file)
        reached = end


def _broken_header(file: Path) -> NotAModel:
    return NotAModel(f"The header of {file} is broken; download the model again.")


def read_metadata(file: Path) -> dict[str, str]:
    """What else the header of a safetensors file says; usually its format."""
    found = _raw_header(file)[0].get("__metadata__")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _raw_header(file: Path) -> tuple[dict[str, Any], int]:
    """(the header, its length in the file)"""
    if not _is_regular(file):
        raise NotAModel(f"{file} is no ordinary file; download the model again.")
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        raw = stream.read(length) if 0 < length <= _LONGEST_HEADER else b""
    if not raw or len(raw) < length:
        raise NotAModel(f"{file} is cut short or no safetensors file; download the model again.")
    return parse_json(raw, f"The header of {file}"), length


def _is_regular(file: Path) -> bool:
    """Not a folder, a device or a pipe that never ends, and no link into nothing."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def read_tensors(folder: Path) -> dict[str, TensorFacts]:
    """All tensors of a model folder, over all its parts; those of a packed one as they are when unpacked."""
    if is_packed(folder):
        return _unpacked_tensors(folder)
    tensors: dict[str, TensorFacts] = {}
    for file in weight_files(folder):
        tensors |= read_header(file)
    return tensors


def is_packed(folder: Path) -> bool:
    """Whether its weights are stored as bits and kept values (`packing`), and not as they are as well."""
    return (folder / DESCRIPTION).is_file() and not any((folder / name).exists() for name in (SINGLE, INDEX))


def read_packing(folder: Path) -> Packing:
    """The description of a packed folder, checked against the headers of its files; no weight is read.

    Raises NotAModel with one sentence for what is broken, cut short or of a later version.
    """
    description = folder / DESCRIPTION
    if description.stat().st_size > _LONGEST_HEADER:
        raise broken(str(folder), f"{DESCRIPTION} is too long")
    packing = parse_packing(parse_json(description.read_bytes(), f"{DESCRIPTION} of {folder}"), str(folder))
    for plain, file in packing.files.items():
        packed = folder / packed_name(plain)
        if not packed.is_file():
            raise NotAModel(f"{folder} is not whole: {packed.name} is missing; pack the model again.")
        header = {name: (facts.dtype, facts.shape) for name, facts in read_header(packed).items()}
        check_parts(file, header, str(folder))
    return packing


def _unpacked_tensors(folder: Path) -> dict[str, TensorFacts]:
    tensors: dict[str, TensorFacts] = {}
    for plain, file in read_packing(folder).files.items():
        parts = {name + suffix for name, tensor in file.tensors.items() for suffix in tensor.parts}
        header = read_header(folder / packed_name(plain))
        tensors |= {name: facts for name, facts in header.items() if name not in parts}
        tensors |= {name: TensorFacts(tensor.dtype, tensor.shape) for name, tensor in file.tensors.items()}
    return tensors


def bytes_on_disk(folder: Path) -> int:
    """Size of the files that hold the weights."""
    return sum(file.stat().st_size for file in weight_files(folder))


def unpacked_bytes(folder: Path) -> int:
    """Size of the weights as they are used: that of the files, but of a packed folder once it is unpacked."""
    if not is_packed(folder):
        return bytes_on_disk(folder)
    return sum(facts.n_bytes for facts in read_tensors(folder).values())
