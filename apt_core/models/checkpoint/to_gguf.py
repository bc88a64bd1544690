"""A checkpoint as one GGUF file, for llama.cpp and what reads its format: Llama-, Qwen- and Gemma 3-shaped models.

Tensor by tensor from the safetensors to the file, without torch: no more than one is in memory. What llama.cpp keeps
in another form is brought into it: the rows of q and k of a Llama in the order of its rotary embedding, the norms of
a Gemma with the one added that its code adds. A model whose blocks differ in width is written as `deci`, llama.cpp's
architecture that has head counts and MLP widths for each block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.families import block_widths, config_of_block
from apt_core.models.checkpoint import gguf_tokenizer, headers

if TYPE_CHECKING:
    import gguf
else:
    gguf = lazy("gguf")

PRECISIONS = ("auto", "f32", "f16", "bf16")
_RAW = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_FILE_TYPES = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16"}


class Shape(NamedTuple):
    """How llama.cpp calls and keeps a model type of transformers."""

    architecture: str
    permuted: bool = False  # rows of q and k in the order of interleaved rotary pairs
    norms_plus_one: bool = False
    biases: bool = False  # on q, k and v


SHAPES = {
    "llama": Shape("llama", permuted=True),
    "qwen2": Shape("qwen2", biases=True),
    "qwen3": Shape("qwen3"),
    "gemma3_text": Shape("gemma3", norms_plus_one=True),
}
# As transformers names their classes.
ARCHITECTURES = frozenset(f"{name}ForCausalLM" for name in ("Llama", "Qwen2", "Qwen3", "Gemma3"))
# Of models whose blocks differ in width. `deci` turns neighbouring pairs, as `llama` does, and norms no queries.
UNEVEN_SHAPES = {
    "llama": Shape("deci", permuted=True),
    "qwen2": Shape("deci", permuted=True, biases=True),
}


class Tensor(NamedTuple):
    """Where a tensor lies, what llama.cpp calls it, and the type in which it is written."""

    name: str
    gguf_name: str
    file: Path
    facts: headers.TensorFacts
    to: str


def check(folder: Path) -> Shape:
    """What the model is to llama.cpp, packed or plain. Raises BadInput with one sentence where it has no such form
    here."""
    config = headers.read_config(folder)
    shape = _shape(config)
    scaling = _rope(config).get("rope_type", "default")
    if scaling != "default":
        raise BadInput(
            f"This model scales its rotary embedding ({scaling}), which cannot be written as GGUF here; use --folder."
        )
    gguf_tokenizer.read(folder)
    _tensors([(folder, *one) for one in headers.read_tensors(folder).items()], config, shape, "auto")
    return shape


def _shape(config: dict[str, Any]) -> Shape:
    kind, uneven = str(config.get("model_type")), block_widths(config)
    shapes = UNEVEN_SHAPES if uneven else SHAPES
    if kind not in shapes:
        what = f"{kind} whose blocks differ in width" if uneven else kind
        raise BadInput(
            f"Models of the type {what} cannot be written as GGUF here (only {', '.join(sorted(shapes))}); use "
            "--folder."
        )
    return shapes[kind]


def write(folder: Path, file: Path, name: str, precision: str = "auto") -> None:
    """precision: of the matrices, `auto` as they lie there; vectors are float32, as llama.cpp wants them."""
    if precision not in PRECISIONS:
        raise BadInput(f"There is no precision '{precision[:20]}'; choose from {', '.join(PRECISIONS)}.")
    shape, config = check(folder), headers.read_config(folder)
    tensors = _tensors(_stored(folder), config, shape, precision)
    writer = gguf.GGUFWriter(file, shape.architecture)
    try:
        _describe(writer, config, shape, name)
        writer.add_file_type(int(gguf.LlamaFileType[_FILE_TYPES[_main_type(tensors)]]))
        gguf_tokenizer.describe(writer, folder, int(config["vocab_size"]), str(config["model_type"]))
        for tensor in tensors:
            _announce(writer, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        change = _changes(config, shape)
        for tensor in tensors:
            writer.write_tensor_data(_written(change(tensor.name, _read(tensor)), tensor.to))
    finally:
        writer.close()


# --- what is written -----------------------------------------------------------------------------


def _tensors(
    stored: Iterable[tuple[Path, str, headers.TensorFacts]],
    config: dict[str, Any],
    shape: Shape,
    precision: str,
) -> list[Tensor]:
    """stored: where each tensor lies, its name and facts."""
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH[shape.architecture.upper()], int(config["num_hidden_layers"])
    )
    found = []
    for file, name, facts in stored:
        if name == "lm_head.weight" and config.get("tie_word_embeddings", True):
            continue  # the embedding once more
        gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if gguf_name is None or facts.dtype not in _RAW or (name.endswith(".bias") and not shape.biases):
            raise BadInput(
                f"The tensor {name} ({facts.dtype}) has no form in a GGUF of this kind; use --folder."
            )
        matrix = len(facts.shape) > 1
        wanted = facts.dtype if precision == "auto" else precision.upper()
        found.append(Tensor(name, gguf_name, file, facts, wanted if matrix else "F32"))
    return found


def _stored(folder: Path) -> Iterator[tuple[Path, str, headers.TensorFacts]]:
    for file in headers.weight_files(folder):
        for name, facts in headers.read_header(file).items():
            yield file, name, facts


def _main_type(tensors: list[Tensor]) -> str:
    """That of most weights."""
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.to] = sizes.get(tensor.to, 0) + tensor.facts.numel
    return max(sizes, key=lambda kind: sizes[kind])


def _describe(writer: Any, config: dict[str, Any], shape: Shape, name: str) -> None:
    head = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    writer.add_name(name)
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    _describe_widths(writer, config)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta", 10_000.0)))
    if shape.architecture in ("llama", "deci"):
        writer.add_rope_dimension_count(head)
    if shape.architecture == "gemma3" and config.get("sliding_window"):
        writer.add_sliding_window(int(config["sliding_window"]))


def _describe_widths(writer: Any, config: dict[str, Any]) -> None:
    """One number each, or where blocks differ one for each block."""
    blocks = [config_of_block(config, block) for block in range(int(config["num_hidden_layers"]))]
    of_blocks = {
        writer.add_feed_forward_length: [int(block["intermediate_size"]) for block in blocks],
        writer.add_head_count: [int(block["num_attention_heads"]) for block in blocks],
        writer.add_head_count_kv: [_kv_heads(block) for block in blocks],
    }
    for add, widths in of_blocks.items():
        add(widths if block_widths(config) else widths[0])


def _kv_heads(config: dict[str, Any]) -> int:
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary embedding of the blocks that see everything, as any version of transformers wrote it."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    given = given.get("full_attention", given)
    kind = given.get("rope_type", given.get("type", "default"))
    theta = given.get("rope_theta", config.get("rope_theta"))
    return {"rope_type": kind} | ({"rope_theta": theta} if theta is not None else {})


# --- tensors -------------------------------------------------------------------------------------


def _announce(writer: Any, tensor: Tensor) -> None:
    shape = list(tensor.facts.shape)
    width = 4 if tensor.to == "F32" else 2
    n_bytes, kind = tensor.facts.numel * width, gguf.GGMLQuantizationType[tensor.to]
    if tensor.to == "BF16":  # numpy has no such type: its bytes
        writer.add_tensor_info(
            tensor.gguf_name, [*shape[:-1], 2 * shape[-1]], np.dtype(np.uint8), n_bytes, kind
        )
    else:
        writer.add_tensor_info(tensor.gguf_name, shape, np.dtype(_RAW[tensor.to]), n_bytes, kind)


def _read(tensor: Tensor) -> np.ndarray:
    """float32, float16, or the bits of bfloat16 where it stays as it is and no number is changed."""
    facts = tensor.facts
    raw = np.memmap(tensor.file, _RAW[facts.dtype], "r", facts.offset, facts.shape)
    if facts.dtype == tensor.to:
        return np.asarray(raw)
    if facts.dtype == "BF16":
        return (np.asarray(raw).astype(np.uint32) << 16).view(np.float32)
    return np.asarray(raw).astype(np.float32)


def _written(values: np.ndarray, to: str) -> np.ndarray:
    if to != "BF16":
        return np.ascontiguousarray(values, _RAW[to])
    if values.dtype != np.uint16:
        return gguf.quants.quantize(np.ascontiguousarray(values, np.float32), gguf.GGMLQuantizationType.BF16)
    return np.ascontiguousarray(values).view(np.uint8)


def _changes(config: dict[str, Any], shape: Shape) -> Callable[[str, np.ndarray], np.ndarray]:
    """(name, values) -> the values as llama.cpp keeps them."""

    def change(name: str, values: np.ndarray) -> np.ndarray:
        projection = name.split(".")[-2]
        if shape.permuted and projection in ("q_proj", "k_proj"):
            own = config_of_block(config, _block_of(name))
            heads = int(own["num_attention_heads"]) if projection == "q_proj" else _kv_heads(own)
            return interleaved(values, heads)
        if shape.norms_plus_one and name.endswith("norm.weight"):
            return values + np.float32(1)
        return values

    return change


def _block_of(name: str) -> int:
    """'model.layers.7.self_attn.q_proj.bias' -> 7"""
    return next(int(part) for part in name.split(".") if part.isdecimal())


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """The rows of each head from (first halves, second halves) to pairs: 0 1 2 3 -> 0 2 1 3."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)
