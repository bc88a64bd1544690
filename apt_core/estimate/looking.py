"""About how long a look along the depth of a finished run takes, by the pace of the run's own evaluation. No torch."""

from __future__ import annotations

from apt_core.events.records import RunRecord
from apt_core.measure.depth_values import LENS_POSITIONS
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion

_START = 5.0  # seconds until a process has its libraries


def looking_seconds(record: RunRecord, question: DepthQuestion | BlocksAloneQuestion) -> float | None:
    """None where the run did not measure how long its model takes to read.

    A block costs as much wherever it is; what is not in the blocks is taken for the head.
    """
    read, model = record.pruned, record.model
    if read is None or model is None or not read.seconds or not model.parameters:
        return None
    length = min(question.length, read.length)
    tokens = question.windows * length
    pace = read.seconds / (read.windows * read.length)  # of one token through the whole model
    head = 1 - min(model.prunable / model.parameters, 1.0)
    load = record.finished.seconds.get("load", 0.0) if record.finished else 0.0
    once = (
        _depth(question.windows, length, model.blocks, head)
        if isinstance(question, DepthQuestion)
        else (tokens * _alone(model.blocks, head))
    )
    return _START + 2 * load + pace * once


def _depth(windows: int, length: int, blocks: int, head: float) -> float:
    """Tokens through a whole model: both models once, their heads behind each block at a few positions."""
    positions = windows * max(1, min(length, LENS_POSITIONS // windows))
    return 2 * windows * length * (1 - head) + 2 * positions * blocks * head


def _alone(blocks: int, head: float) -> float:
    """Passes of the same tokens: the dense stream, one that begins at each block, and the pruned model."""
    streams = 1 + (blocks + 1) / 2
    return streams * (1 - head) + (blocks + 1) * head + 1
