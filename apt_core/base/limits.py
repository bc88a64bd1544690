"""Numbers that a run works by and that its estimate must know: how much is computed, held, or asked for at once. No
torch."""

from __future__ import annotations

TOKENS_PER_BATCH = 4096  # through one block together, while pruning and while evaluating
TOKENS_BACK_AT_ONCE = 2048  # on their way back through a block together
GRADIENT_TOKENS = 6144  # of the calibration set, where gradients of the loss are taken
LOGITS_BYTES = 64_000_000  # float32 logits that exist at the same time
COMPARED_TOKENS = 4096  # of the evaluation windows, whose next-token distributions are compared
SIZED_BYTES = (
    1_000_000_000  # on disk, up to which a run compresses and packs weights to see how far they shrink
)
TIMED_IN_TURNS_BYTES = 1_000_000_000  # on disk, up to which a run times dense and pruned model in turns
METRIC_RANK = 64  # directions of a layer's output that are weighted one by one
SWEEP_RUNS = 64  # of one sweep
PUBLIC_SWEEP_RUNS = 8  # of one sweep on a host that others use as well
PUBLIC_SEARCH_MINUTES = 20  # of one search on such a host
PUBLIC_TASK_EXAMPLES = 200  # of each zero-shot task on such a host
SHARED_BYTES = 1_000_000_000  # that the runs of one study keep for one another
DENSE_STATES_BYTES = 500_000_000  # of dense models' states that all later runs find in the cache folder
ASKED_TOGETHER = 4  # models that answer one question: the dense one and three pruned ones
PROMPTS_AT_ONCE = 50  # of one set
PUBLIC_PROMPTS_AT_ONCE = 8  # of one set on a host that others use as well
PROMPT_CHARACTERS = 2000  # of one prompt of a set
LOADED_SHARE = 0.25  # of the memory that is free without them: asked models that stay loaded take no more
_FLOAT32 = 4
_FEWEST_ROWS = 16


def windows_per_batch(windows: int, length: int, tokens: int = TOKENS_PER_BATCH) -> int:
    """How many windows of `length` tokens go through a block together."""
    return max(1, min(windows, tokens // length))


def gradient_windows(windows: int, length: int) -> int:
    """How many of the calibration windows gradients are taken of."""
    return min(windows, max(1, GRADIENT_TOKENS // length))


def compared_windows(windows: int, length: int) -> int:
    """How many of the first evaluation windows dense and pruned model are compared on; none where one is longer, as
    what the dense model makes of them waits in memory while it is pruned."""
    return min(windows, COMPARED_TOKENS // length)


def rows_of_logits(vocab: int) -> int:
    """Positions whose logits are computed together."""
    return max(_FEWEST_ROWS, LOGITS_BYTES // (_FLOAT32 * max(vocab, 1)))


def metric_rank(outputs: int) -> int:
    """Directions kept of the loss's sensitivity to a layer's outputs; few where the layer is small."""
    return min(METRIC_RANK, max(1, outputs // 3))
