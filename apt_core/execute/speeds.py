"""How fast the two models of a run are, dense and pruned taking turns, so that other load affects both.

Where weights are read from files anyway, those of the other model take their place for its turn, and no more memory is
used than by one model; elsewhere the dense model is loaded once more beside the pruned one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from apt_core.base.limits import TIMED_IN_TURNS_BYTES
from apt_core.base.out_of_room import is_out_of_memory
from apt_core.events import Event, Measured, Progress, SparseKernels, Warned
from apt_core.execute.opening import Opened
from apt_core.measure.sparse_kernels import Refused, Taken, sparse_turn, taken
from apt_core.measure.speed import Speeds, held, in_turns
from apt_core.models.checkpoint.whole import checkpoint_bytes
from apt_core.models.load.loading import load, load_by_block, load_spread
from apt_core.models.load.skeleton import NotByBlock
from apt_core.models.load.weight_store import WeightStore

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from apt_core.measure.speed import Holder

_TURNS = 3  # that count
_PREFILL, _DECODE = 64, 8  # tokens of a turn
_SECONDS = 5.0  # after which no further turn begins
_SPARSE = "sparse"  # the pruned model, multiplied by sparse kernels
_NO_ROOM = "Speed was not measured: there was no room for both models at once."


def timed_in_turns(dense_folder: Path) -> bool:
    """Whether a run of this model times both of its models in turns."""
    return checkpoint_bytes(dense_folder) <= TIMED_IN_TURNS_BYTES


def speed_events(
    opened: Opened, checkpoint: Path, dtype: torch.dtype, sparse_kernels: bool = False
) -> Iterator[Event]:
    """Prefill and decoding of the dense and of the pruned model; nothing where they cannot be called as a whole.

    sparse_kernels: a third turn measures the pruned model with the kernels of torch.sparse, where they take its layers;
    where they refuse it then, the other two are measured again without it.
    """
    with opened.store.all_loaded() as why_not:
        if why_not:
            return
        asked = taken(_linear(opened)) if sparse_kernels else Taken([])
    folders = {"dense": opened.folder, "pruned": checkpoint}
    both = cache(lambda: _holders(opened, folders, dtype))

    def all_three() -> Mapping[str, Holder]:
        return {**both(), _SPARSE: partial(_sparse, both()["pruned"], asked.layers)}

    speeds = None
    if asked.layers:
        try:
            speeds = yield from _timed(folders, all_three)
        except Refused as refusal:
            asked = Taken([], str(refusal))
    if speeds is None:
        speeds = yield from _timed(folders, both)
    if sparse_kernels and not asked.layers:
        yield SparseKernels(layers=0, why=asked.why)
    if found := speeds.get(_SPARSE):
        yield SparseKernels(
            layers=len(asked.layers), why=asked.why, prefill=found.prefill, decode=found.decode
        )


def _linear(opened: Opened) -> list[nn.Linear]:
    """The layers whose weight is a parameter of an nn.Linear of its own."""
    return [
        layer.module
        for layer in opened.layers
        if isinstance(layer.module, nn.Linear) and layer.experts is None
    ]


@contextmanager
def _sparse(pruned: Holder, layers: list[nn.Linear]) -> Iterator[PreTrainedModel]:
    with pruned() as model, sparse_turn(layers):
        yield model


def speeds_of_two(
    dense: Path, made: Opened, dtype: torch.dtype, checkpoint: Path | None = None
) -> Iterator[Event]:
    """The same of a dense model and one beside it, such as a smaller one, whose weights fit into none of its tensors.

    checkpoint: where the files of that one are, unless it was opened from them.
    """
    with made.store.all_loaded() as why_not:
        if why_not:
            return
    folders = {"dense": dense, "pruned": checkpoint or made.folder}
    yield from _timed(
        folders,
        lambda: {
            "dense": _from_files(dense, dtype, str(made.device)),
            "pruned": partial(_all_of, made.model, made.store),
        },
    )


def _from_files(folder: Path, dtype: torch.dtype, device: str) -> Holder:
    """A model whose weights are in memory in its turns alone, where its files allow it."""
    try:
        model, _, store = load_by_block(folder, dtype, device, room_for_all=True)
    except NotByBlock:
        return partial(held, load(folder, dtype, device)[0])
    return partial(_all_of, model, store)


@contextmanager
def _all_of(model: PreTrainedModel, store: WeightStore) -> Iterator[PreTrainedModel]:
    with store.all_loaded():
        yield model


def _timed(
    folders: Mapping[str, Path], holders: Callable[[], Mapping[str, Holder]]
) -> Generator[Event, None, dict[str, Speeds]]:
    """Yields what was measured of the models in these folders; returns it by the name of the holder."""
    try:
        speeds = yield from _with_progress(holders())
    except (MemoryError, OSError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        yield Warned(message=_NO_ROOM)
        return {}
    for subject, folder in folders.items():
        found = speeds[subject]
        yield Measured.model_validate(
            {
                "subject": subject,
                "tokens_per_second": found.decode.median,
                "bytes_on_disk": checkpoint_bytes(folder),
                "prefill": found.prefill,
                "decode": found.decode,
            }
        )
    return speeds


def _holders(opened: Opened, folders: Mapping[str, Path], dtype: torch.dtype) -> dict[str, Holder]:
    """The dense model is placed as the one that was opened."""
    if opened.store.reads_anew:
        return {name: partial(_read_anew, opened, folder) for name, folder in folders.items()}
    if device_map := getattr(opened.model, "hf_device_map", None):
        dense, _ = load_spread(folders["dense"], dtype, device_map)
    else:
        dense, _ = load(folders["dense"], dtype, str(opened.device))
    return {"dense": partial(held, dense), "pruned": partial(held, opened.model)}


@contextmanager
def _read_anew(opened: Opened, folder: Path) -> Iterator[PreTrainedModel]:
    opened.store.then_read(folder)
    with opened.store.all_loaded():
        yield opened.model


def _with_progress(holders: Mapping[str, Holder]) -> Generator[Event, None, dict[str, Speeds]]:
    turns = in_turns(holders, _TURNS, _PREFILL, _DECODE, _SECONDS)
    done = 0
    while True:
        yield Progress(
            stage="measure", subject="pruned", done=done, total=_TURNS + 1, detail="speed of both in turns"
        )
        try:
            done = 1 + next(turns)
        except StopIteration as end:
            return end.value
