"""The description in a packed checkpoint: which tensors are stored as bits and kept values. No torch.

A packed folder holds the model's configuration and tokenizer, one `*.packed.safetensors` for each of its weight files,
and `apt_packed.json`. A packed tensor is two tensors of its file:

    name:kept   its kept values, in its own dtype, in their order
    name:bits   where they are: one bit for each weight (1 = kept), the first weight in the lowest bit; or, for N:M,
                the number of each group's pattern among all that keep N of M, in ceil(log2 C(M, N)) bits

Kept is every value whose stored bits are not all zero, so +0.0 alone is left out: -0.0 and every NaN come back as they
were, and a tensor that is unpacked is the dense one bit for bit. A tensor that does not become smaller stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import comb, prod
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from apt_core.base.errors import NotAModel, one_sentence
from apt_core.base.patterns import MAX_GROUP
from apt_core.base.values import Frozen

DESCRIPTION = "apt_packed.json"
FORMAT, VERSION = "apt-packed", 1
KEPT, BITS = ":kept", ":bits"
BYTES = {"BF16": 2, "F16": 2, "F32": 4}  # of the dtypes that are packed
_SUFFIX = ".safetensors"
PACKED_SUFFIX = f".packed{_SUFFIX}"


class PackedTensor(Frozen):
    """keep, of: of an N:M tensor, in groups along its last dimension; None where every weight has its bit."""

    dtype: Literal["BF16", "F16", "F32"]
    shape: tuple[int, ...] = Field(min_length=1)
    kept: int = Field(ge=0)
    keep: int | None = None
    of: int | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> PackedTensor:
        if min(self.shape) < 1:
            raise ValueError(f"shape {self.shape} holds no weights")
        if self.keep is None or self.of is None:
            if self.keep is not self.of or self.kept > self.numel:
                raise ValueError(f"{self.kept} values cannot be kept of {self.numel}")
        elif not 1 <= self.keep < self.of <= MAX_GROUP or self.shape[-1] % self.of:
            raise ValueError(f"{self.keep}:{self.of} is no pattern of rows of {self.shape[-1]}")
        elif self.kept != self.groups * self.keep:
            raise ValueError(f"{self.kept} values are not {self.keep} of every {self.of}")
        return self

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def groups(self) -> int:
        return self.numel // (self.of or 1)

    @property
    def index_bits(self) -> int:
        """Bits of an N:M group's pattern number; 1 for a weight's own bit."""
        return 1 if self.keep is None or self.of is None else (comb(self.of, self.keep) - 1).bit_length()

    @property
    def bits_bytes(self) -> int:
        return -(-self.groups * self.index_bits // 8)

    @property
    def n_bytes(self) -> int:
        """Bits and kept values: 9/16 of bfloat16 at 50%, 35/64 at 2:4."""
        return self.bits_bytes + self.kept * BYTES[self.dtype]

    @property
    def parts(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Suffix -> (dtype, shape) of the two tensors that stand for this one."""
        return {KEPT: (self.dtype, (self.kept,)), BITS: ("U8", (self.bits_bytes,))}


class PackedFile(Frozen):
    """One weight file. tensors: those that are packed; the others lie in it as they were.

    metadata: of the file's header before it was packed.
    """

    tensors: dict[str, PackedTensor]
    metadata: dict[str, str] = Field(default_factory=dict)


class Packing(Frozen):
    """A packed folder. files: by the name that the plain file has."""

    format: Literal["apt-packed"] = "apt-packed"
    version: int = VERSION
    files: dict[str, PackedFile] = Field(min_length=1)

    def dump(self) -> bytes:
        return (self.model_dump_json(exclude_none=True) + "\n").encode()


def packed_name(plain: str) -> str:
    """model.safetensors -> model.packed.safetensors, which no other loader takes for plain weights."""
    return plain.removesuffix(_SUFFIX) + PACKED_SUFFIX


def parse_packing(data: Mapping[str, Any], where: str) -> Packing:
    """The description of a packed folder; raises NotAModel with one sentence."""
    version = data.get("version")
    if data.get("format") == FORMAT and isinstance(version, int) and version > VERSION:
        raise NotAModel(
            f"{where} was packed by a later version of APT Studio (format {version}, this one reads {VERSION}); "
            "update the app to open it."
        )
    try:
        packing = Packing.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise broken(where, one_sentence(error)) from error
    for name in packing.files:
        if "/" in name or "\\" in name or not name.endswith(_SUFFIX):
            raise broken(where, f"it names the file {name[:60]!r}")
    return packing


def check_parts(file: PackedFile, header: Mapping[str, tuple[str, tuple[int, ...]]], where: str) -> None:
    """Raise NotAModel where a file's header does not hold exactly the parts that its packed tensors have.

    header: name -> (dtype, shape).
    """
    for name, tensor in file.tensors.items():
        if name in header:
            raise broken(where, f"{name[:60]} is stored twice")
        for suffix, wanted in tensor.parts.items():
            if header.get(name + suffix) != wanted:
                raise broken(where, f"{name[:60]}{suffix} is missing or has another size")


def broken(where: str, why: str) -> NotAModel:
    return NotAModel(f"The packed weights in {where} cannot be trusted ({why[:160]}); pack the model again.")
