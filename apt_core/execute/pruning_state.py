"""The state of a pruning between two blocks, from which another process can resume.

The hidden states in front of the next block and the pruned weights so far, one file a block; how far it came is JSON in
the header of the states, which are written last, whole or not at all. In the same folder lies what a run of a study
would share with the others: the dense model's last states and the gradients of its loss.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from apt_core.base.errors import BadInput
from apt_core.base.out_of_room import is_out_of_memory
from apt_core.base.values import Frozen
from apt_core.execute import kept_tensors
from apt_core.execute.kept import KEPT_BY_PRUNING, PRUNING
from apt_core.jobs import Prune
from apt_core.models.load.weight_store import WeightStore


class PruningState(Frozen):
    """asked: what job it is of. blocks: how many are pruned. removed: weights in them. changed: for each of them, the
    names of its pruned parameters. seconds: per stage, so far."""

    asked: str
    blocks: int
    removed: int
    changed: tuple[tuple[str, ...], ...]
    seconds: dict[str, float]


def asked(job: Prune) -> str:
    """What a job has in common with the one that goes on from its state: everything."""
    return hashlib.sha256(job.model_dump_json().encode()).hexdigest()


def is_kept(folder: Path) -> bool:
    """Whether a run has a state to resume from. folder: of the run."""
    return (folder / KEPT_BY_PRUNING).exists()


def shared(folder: Path) -> Path:
    """Where a run keeps for its own later parts what does not change between them."""
    return folder / PRUNING / "dense"


def keep_block(folder: Path, index: int, block: nn.Module, changed: tuple[str, ...]) -> None:
    """The pruned parameters of a block, which is open. Raises OSError on a full disk."""
    parameters = dict(block.named_parameters())
    kept_tensors.write({name: parameters[name] for name in changed}, _block_file(folder, index))


def keep(folder: Path, state: PruningState, states: Tensor, dense: Tensor | None) -> None:
    """After its blocks; an earlier state stays until this one is whole. dense: the dense model's stream, if any.

    Raises OSError on a full disk.
    """
    tensors = {"states": states} if dense is None else {"states": states, "dense": dense}
    said = {"format": "pt", "state": state.model_dump_json()}
    kept_tensors.write(tensors, folder / KEPT_BY_PRUNING, said)


def recall(folder: Path, job: Prune) -> tuple[PruningState, dict[str, Tensor]] | None:
    """How far it came, and `states` and perhaps `dense`; None where nothing is kept. Raises BadInput where what is kept
    cannot be read."""
    if not is_kept(folder):
        return None
    try:
        with safe_open(folder / KEPT_BY_PRUNING, framework="pt") as stored:
            state = PruningState.model_validate_json(stored.metadata()["state"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _unreadable() from error
    return (state, tensors) if state.asked == asked(job) else None


def restore(folder: Path, state: PruningState, store: WeightStore) -> None:
    """Write the pruned blocks into the model and commit them. Raises BadInput where they cannot be read."""
    for index, changed in enumerate(state.changed):
        try:
            tensors = load_file(_block_file(folder, index))
            with store.block(index) as block:
                parameters = dict(block.named_parameters())
                for name in changed:
                    parameters[name].data.copy_(tensors[name])
                store.commit(index, set(changed))
        except (FileNotFoundError, KeyError, RuntimeError, SafetensorError) as error:
            if is_out_of_memory(error):
                raise
            raise _unreadable() from error


def forget(folder: Path) -> None:
    """Remove what was kept."""
    shutil.rmtree(folder / PRUNING, ignore_errors=True)


def _block_file(folder: Path, index: int) -> Path:
    return folder / PRUNING / f"block-{index}.safetensors"


def _unreadable() -> BadInput:
    return BadInput("What this run had kept of its pruning cannot be read; start it again.")
