"""Packed checkpoints: a model folder whose pruned weights are bits and kept values, written and undone.

Tensor by tensor, so memory is that of the largest tensor; whole or not at all. The form is described in `packing`,
the loaders read it as it is (`load.weight_files`).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from apt_core.base.errors import BadInput, NotAModel
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.companions import copy_companions, partial_of
from apt_core.models.checkpoint.headers import TensorFacts
from apt_core.models.checkpoint.packed_tensor import pack, plan
from apt_core.models.checkpoint.packing import (
    BITS,
    DESCRIPTION,
    KEPT,
    PackedFile,
    PackedTensor,
    Packing,
    packed_name,
)
from apt_core.models.checkpoint.plain_files import unpack_weights
from apt_core.models.checkpoint.stream import StreamedFile, file_bytes
from apt_core.models.fetch.disk import require_space, writing
from apt_core.models.load.weight_files import WeightFiles

Tensors = dict[str, TensorFacts]


class Plan(NamedTuple):
    """What packing a folder writes. headers: by the plain file's name, the tensors of the packed one."""

    packing: Packing
    headers: dict[str, Tensors]

    @property
    def n_bytes(self) -> int:
        """Of all files that hold weights, with the description."""
        files = (file_bytes(self.headers[name], file.metadata) for name, file in self.packing.files.items())
        return sum(files) + len(self.packing.dump())


class Packed(NamedTuple):
    """What was written. forms: how many tensors are stored in which way ("bits", "2:4", "as they are")."""

    folder: Path
    before: int  # bytes of the weights
    after: int
    forms: dict[str, int]


def plan_folder(folder: Path) -> Plan:
    """The form of every tensor, found by reading each once; raises NotAModel for a folder that is no model."""
    if checkpoints.is_packed(folder):
        raise BadInput(f"{folder} is packed already; 'unpack' makes it a plain folder again.")
    weights = WeightFiles(folder)
    files, headers = {}, {}
    for file in checkpoints.weight_files(folder):
        header = checkpoints.read_header(file)
        forms = {name: form for name in header if (form := plan(weights.read([name])[name]))}
        files[file.name] = PackedFile(tensors=forms, metadata=checkpoints.read_metadata(file))
        headers[file.name] = _packed_header(header, forms)
    return Plan(Packing(files=files), headers)


def _packed_header(header: Tensors, forms: Mapping[str, PackedTensor]) -> Tensors:
    parts = {
        name + suffix: TensorFacts(dtype, shape)
        for name, form in forms.items()
        for suffix, (dtype, shape) in form.parts.items()
    }
    return {name: facts for name, facts in header.items() if name not in forms} | parts


def pack_folder(source: Path, target: Path) -> Packed:
    """Write the model in `source` packed into the new folder `target`.

    Raises BadInput for what is no plain model, DiskFull where there is no room; then nothing is left in `target`.
    """
    checkpoints.check(source)
    planned = plan_folder(source)
    require_space(target.parent, planned.n_bytes, "The packed model")
    with _whole_or_nothing(source, target) as partial:
        copy_companions(source, partial)
        (partial / checkpoints.INDEX).unlink(missing_ok=True)
        (partial / DESCRIPTION).write_bytes(planned.packing.dump())
        weights = WeightFiles(source)
        for name, file in planned.packing.files.items():
            with StreamedFile(partial / packed_name(name), planned.headers[name], file.metadata) as out:
                for tensor in checkpoints.read_header(source / name):
                    _write_packed(out, weights, tensor, file.tensors.get(tensor))
    return Packed(target, checkpoints.bytes_on_disk(source), planned.n_bytes, _forms(planned))


def _write_packed(out: StreamedFile, weights: WeightFiles, name: str, form: PackedTensor | None) -> None:
    tensor = weights.read([name])[name]
    if form is None:
        out.write(name, _bytes(tensor))
        return
    parts = pack(tensor, form)
    out.write(name + KEPT, _bytes(parts.kept))
    out.write(name + BITS, _bytes(parts.bits))


def _bytes(tensor: Tensor) -> memoryview:
    return _octets(tensor).numpy().data


def _octets(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _forms(planned: Plan) -> dict[str, int]:
    found: Counter[str] = Counter()
    for name, file in planned.packing.files.items():
        for form in file.tensors.values():
            found["bits" if form.of is None else f"{form.keep}:{form.of}"] += 1
        found["as they are"] += len(planned.headers[name]) - 2 * len(file.tensors)
    return dict(found)


def pack_in_place(folder: Path) -> Packed:
    """Pack the weights of a folder that stays where it is: readers find the plain ones until the packed are whole.

    The plain files go only after every tensor has been read back bit for bit from the packed ones. Broken off at any
    point, the folder is the plain or the packed model, and the next call completes it.
    """
    if checkpoints.is_packed(folder):
        for name in checkpoints.read_packing(folder).files:
            (folder / name).unlink(missing_ok=True)  # that an earlier call was stopped in front of
        return Packed(folder, checkpoints.unpacked_bytes(folder), packed_bytes(folder), {})
    aside = folder.with_name(folder.name + ".packed")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        done = pack_folder(folder, aside)
        _check_equal(folder, aside)
        plain = [folder / checkpoints.INDEX, *checkpoints.weight_files(folder)]
        for file in (*(aside / packed_name(name) for name in checkpoints.read_packing(aside).files),
                     aside / DESCRIPTION):  # fmt: skip
            file.replace(folder / file.name)
        for file in plain:  # without the first of them the folder counts as packed
            file.unlink(missing_ok=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return done._replace(folder=folder)


def _check_equal(plain: Path, packed: Path) -> None:
    """Raise NotAModel unless both folders hold the same bits."""
    before, after = WeightFiles(plain), WeightFiles(packed)
    for name in before.facts:
        if not torch.equal(_octets(before.read([name])[name]), _octets(after.read([name])[name])):
            raise NotAModel(f"{name} did not come back as it was from {packed}; the plain weights stay.")


def unpack_folder(source: Path, target: Path) -> Packed:
    """The plain model that was packed into `source`: every tensor bit for bit, in files of the same names."""
    if not checkpoints.is_packed(source):
        raise NotAModel(f"{source} is not packed; it can be used as it is.")
    checkpoints.check(source)
    n_bytes = checkpoints.unpacked_bytes(source)
    require_space(target.parent, n_bytes, "The unpacked model")
    with _whole_or_nothing(source, target) as partial:
        copy_companions(source, partial)
        unpack_weights(source, partial)
    return Packed(target, packed_bytes(source), checkpoints.bytes_on_disk(target), {})


def packed_bytes(folder: Path) -> int:
    """Of a packed folder: all files that hold weights, with the description."""
    return checkpoints.bytes_on_disk(folder) + (folder / DESCRIPTION).stat().st_size


@contextmanager
def _whole_or_nothing(source: Path, target: Path) -> Iterator[Path]:
    """A folder that takes the target's name when the context ends well, and is removed when it does not."""
    partial = partial_of(target, source)
    shutil.rmtree(partial, ignore_errors=True)
    with writing(target, "choose another folder"):
        try:
            partial.mkdir(parents=True)
            yield partial
            partial.replace(target)  # also over an empty folder
        finally:
            shutil.rmtree(partial, ignore_errors=True)
