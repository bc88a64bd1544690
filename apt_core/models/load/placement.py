"""Where the weights of a model go: on one device, over several GPUs, or on disk with one block at a time here.

Which block stands on which GPU is accelerate's device map; a block is never cut, and every GPU keeps room for what
pruning takes beside the weights, because a block is pruned where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from apt_core.base.lazy import lazy
from apt_core.families import all_layers, decoder_blocks, later_uses
from apt_core.models.load.weight_store import device_of

if TYPE_CHECKING:
    import accelerate
    from transformers import PreTrainedModel
else:
    accelerate = lazy("accelerate")


class Room(NamedTuple):
    device: str  # "cuda:0", "mps", "cpu"
    free: int  # bytes


class Sizes(NamedTuple):
    """Of a run, in bytes."""

    whole: int  # its peak with all weights in memory
    working: int  # of that, what is no weight: statistics, hidden states, the solver's matrices


class Placement(NamedTuple):
    """device: where tokens enter, and where every block is computed unless device_map says otherwise."""

    kind: Literal["whole", "spread", "disk"]
    device: str
    device_map: Mapping[str, str]  # module -> device, when spread


def placement(
    sizes: Sizes, rooms: Sequence[Room], host_free: int, skeleton: Callable[[], PreTrainedModel]
) -> Placement:
    """The first of these that has room.

    rooms: the devices that may compute, the one that is preferred first. host_free: of the machine's own memory,
    through which a model goes that is loaded whole. skeleton: gives the model without its weights; asked only when
    no single device has room.
    """
    roomy = next((room.device for room in rooms if sizes.whole <= room.free), None)
    if roomy is not None:
        if sizes.whole <= host_free:
            return Placement("whole", roomy, {})
        return Placement("spread", roomy, {"": roomy})  # each tensor straight from its file to the device
    if len(rooms) > 1 and (device_map := spread(skeleton(), sizes.working, rooms)):
        return Placement("spread", rooms[0].device, device_map)
    return Placement("disk", max(rooms, key=lambda room: room.free).device, {})


def spread_sentence(model: PreTrainedModel) -> str | None:
    """Which blocks stand where; None when they all stand on one device."""
    where: dict[str, list[int]] = {}
    for index, block in enumerate(decoder_blocks(model)):
        where.setdefault(str(device_of(block)), []).append(index)
    if len(where) < 2:
        return None
    places = ", ".join(f"blocks {own[0]} to {own[-1]} on {device}" for device, own in where.items())
    return f"The model is spread over {len(where)} devices: {places}."


def spread(model: PreTrainedModel, working: int, rooms: Sequence[Room]) -> dict[str, str] | None:
    """module -> device with whole blocks on each, `working` bytes left free on each; None when it does not fit.

    model: its parameters may be on the meta device. A model whose blocks share weights is not spread.
    """
    model.tie_weights()
    blocks = decoder_blocks(model)
    if later_uses(blocks, all_layers(blocks, optional=True)):
        return None
    found = accelerate.infer_auto_device_map(
        model,
        max_memory={number: max(0, room.free - working) for number, room in enumerate(rooms)},
        no_split_module_classes=sorted({type(block).__name__ for block in blocks}),
    )
    if not all(isinstance(device, int) for device in found.values()):  # "disk": something found no place
        return None
    return {name: rooms[device].device for name, device in found.items()}
