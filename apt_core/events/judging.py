"""What was measured of a model: perplexity, speed, size, distance to the dense one, tasks. No torch."""

from __future__ import annotations

from typing import Literal

from apt_core.base.values import Frozen

# Whose figures they are: the dense model and the one that was made of it, or the only one there is; of a recovery the
# pruned model that it begins with, and what it made of that; of a search the uniform widths that it begins with.
Subject = Literal["dense", "pruned", "model", "before", "recovered", "start"]


class Evaluated(Frozen):
    """Perplexity of one model on one text: exp of the mean negative log-likelihood of a predicted token."""

    kind: Literal["evaluated"] = "evaluated"
    subject: Subject
    perplexity: float
    low: float | None = (
        None  # 95% interval from the windows' losses; None where one window says nothing of spread
    )
    high: float | None = None
    windows: int
    length: int
    tokens: int  # predicted tokens: windows * (length - 1)
    text: str
    protocol: str
    seconds: float
    losses: tuple[float, ...] = ()  # mean negative log-likelihood of each window; empty in runs of version 1
    reused: bool = False  # measured by an earlier run, with the same weights on the same windows

    @property
    def stride(self) -> int:
        """Tokens of the text from one window to the next: windows do not overlap; one that opens with a token of the
        tokenizer has one less of the text."""
        return self.length - self.protocol.startswith("joined-bos")


class Speed(Frozen):
    """Tokens a second over some repeats: the median, the slowest and the fastest."""

    median: float
    low: float
    high: float
    repeats: int

    @property
    def spread(self) -> float:
        return self.high - self.low

    def over(self, other: Speed) -> float | None:
        """This over the other; None where they differ by no more than repeats of one of them do."""
        apart = abs(self.median - other.median)
        return None if apart <= max(self.spread, other.spread) else self.median / other.median


class Measured(Frozen):
    """Speed and size as measured on this machine.

    prefill (a prompt read in one go) and decode (one token after the other): while dense and pruned model took turns,
    None where they did not.
    """

    kind: Literal["measured"] = "measured"
    subject: Subject
    tokens_per_second: float | None = None  # greedy decoding, batch 1, with cache; None: not measured
    bytes_on_disk: int
    prefill: Speed | None = None
    decode: Speed | None = None


class SparseKernels(Frozen):
    """The pruned model with torch.sparse's 2:4 kernels, where a GPU was asked for them.

    layers: whose weights they multiplied; 0 where they refused, and `why` says it in torch's own words. prefill and
    decode: in the same turns as those of the dense and the pruned model.
    """

    kind: Literal["sparse_kernels"] = "sparse_kernels"
    layers: int
    why: str = ""
    prefill: Speed | None = None
    decode: Speed | None = None


class Sized(Frozen):
    """Bytes of a model's weights."""

    kind: Literal["sized"] = "sized"
    subject: Subject
    on_disk: int  # the files that hold them, as they are
    compressed: int  # those files by zstd
    packed: int  # pruned weights as a bit mask and kept values
    resident: int  # in memory, in the type that they are stored in
    zstd_level: int


class Diverged(Frozen):
    """How far next-token distributions of the pruned or rounded model are from the dense model's, on the same windows.

    Means over tokens, with 95% intervals from the means of the windows; None where one window says nothing of spread.
    """

    kind: Literal["diverged"] = "diverged"
    text: str
    windows: int
    length: int
    tokens: int  # positions whose next token both predict: windows * (length - 1)
    kl: float  # KL(dense || pruned) in nats
    kl_low: float | None = None
    kl_high: float | None = None
    agreement: float  # share of positions at which both find the same token most likely
    agreement_low: float | None = None
    agreement_high: float | None = None


class Rounded(Frozen):
    """What a model would take with its prunable matrices rounded to nearest, scales counted."""

    kind: Literal["rounded"] = "rounded"
    bits: int
    group: int  # neighbouring inputs that share a scale
    scheme: str
    weights: int  # that are rounded
    bits_per_weight: float  # of these, with the scales
    n_bytes: int  # of the whole model, the rest in the type of its files
    packed_bytes: int  # the same with a bit mask, and codes of the weights that are not zero


class TaskScored(Frozen):
    """One metric of one zero-shot task, as lm-evaluation-harness computes it."""

    kind: Literal["task_scored"] = "task_scored"
    task: str
    metric: str  # "acc", "acc_norm"; with its filter where there is one: "exact_match (strict-match)"
    value: float
    stderr: float | None = None
    examples: int
    shots: int  # examples in the prompt
    version: str  # of the task
    harness: str  # "lm-eval 0.4.13"
