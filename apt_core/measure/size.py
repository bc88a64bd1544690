"""The size of a model folder: on disk, compressed, packed, and in memory."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from apt_core.base.lazy import lazy
from apt_core.base.paths import cache_dir, stamps_of
from apt_core.base.values import Frozen
from apt_core.measure.dense_cache import keep, recall
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.packed import packed_bytes, plan_folder
from apt_core.models.checkpoint.packing import BYTES

if TYPE_CHECKING:
    import zstandard
else:
    zstandard = lazy("zstandard")

ZSTD_LEVEL = 3  # the library's default; higher levels find little more in weights
_CHUNK = 1 << 20


class Sizes(Frozen):
    """Bytes of the weights. Configuration and tokenizer are not counted."""

    on_disk: int  # the files that hold them, as they are
    compressed: int  # those files by zstd at ZSTD_LEVEL
    packed: int  # as `pack` writes them, with the description
    resident: int  # in memory in the type that they are stored in; a head that is the embedding counts once


def folder_sizes(folder: Path) -> Sizes:
    """Reads every weight twice, a tensor or a megabyte at a time."""
    packed = checkpoints.is_packed(folder)
    return Sizes(
        on_disk=packed_bytes(folder) if packed else checkpoints.bytes_on_disk(folder),
        compressed=sum(compressed_bytes(file) for file in checkpoints.weight_files(folder)),
        packed=packed_bytes(folder) if packed else plan_folder(folder).n_bytes,
        resident=resident_bytes(folder),
    )


def known_sizes(folder: Path) -> Sizes:
    """`folder_sizes`, found once for the same files."""
    stamps = json.dumps([str(folder.resolve()), stamps_of(folder), ZSTD_LEVEL])
    file = cache_dir() / "dense" / f"sizes-{hashlib.sha256(stamps.encode()).hexdigest()[:32]}.json"
    if known := recall(file, Sizes):
        return known
    found = folder_sizes(folder)
    keep(file, found)
    return found


def compressed_bytes(file: Path, level: int = ZSTD_LEVEL) -> int:
    """Length of the file as one zstd frame, which is counted and not kept."""
    compressor = zstandard.ZstdCompressor(level=level)
    with file.open("rb") as stream:
        pieces = compressor.read_to_iter(stream, size=file.stat().st_size, read_size=_CHUNK)
        return sum(map(len, pieces))


def resident_bytes(folder: Path, dtype: str | None = None) -> int:
    """Of all parameters; dtype: of the floats ("BF16", "F32"), as they are stored when None."""
    tensors = checkpoints.read_tensors(folder)
    tied = bool(checkpoints.read_config(folder).get("tie_word_embeddings", False))
    return sum(
        facts.numel * BYTES[dtype] if dtype and facts.dtype in BYTES else facts.n_bytes
        for name, facts in tensors.items()
        if not (tied and name == "lm_head.weight")
    )
