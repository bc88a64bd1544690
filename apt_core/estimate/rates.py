"""How fast a machine is, in seconds per unit of work: measured from a finished run, or the packaged ones.

No torch: the page estimates with these before anything is loaded.
"""

from __future__ import annotations

import re

from apt_core.base import cpu
from apt_core.base.values import Frozen
from apt_core.events import Finished, ModelLoaded
from apt_core.events.records import RunRecord
from apt_core.jobs.recipe import Recipe
from apt_core.methods import Statistic


class Rates(Frozen):
    """Seconds per unit of work.

    conditions: where they were measured; measured_here: whether that is this machine.
    """

    start: float  # of the worker process, as it is
    convert: float  # per parameter, GGUF to safetensors
    open: float  # before the first byte: the libraries' model classes
    load: float  # per byte of safetensors
    forward: float  # per calibration token x prunable weight and forward pass
    statistics: float  # per calibration token x inputs^2 and Gram matrix, summed over distinct inputs
    scan: float  # per calibration token x number that it holds in the state space mixers, and forward pass
    gradients: float  # per token x prunable weight that is asked what the loss minds
    solve: dict[str, float]  # per prunable weight, keyed "method/pattern kind"
    eval: float  # per evaluated token x parameter
    eval_scan: float  # per evaluated token x number that it holds in the state space mixers
    save: float  # per byte of safetensors
    generation: float  # for both speed measurements, per parameter
    dtype: str = "float32"  # that the forwards ran in
    conditions: str
    measured_here: bool = False

    def solving(self, key: str) -> float:
        """The rate of a method; the slowest known one of its pattern kind for a method without a record."""
        kind = key.split("/", 1)[1]
        same_kind = [rate for other, rate in self.solve.items() if other.split("/", 1)[1] == kind]
        return self.solve.get(key, max(same_kind or self.solve.values()))


# Both: SmolLM2-135M, 32 x 512 calibration tokens, 12 x 1024 evaluation tokens; scans: mixers of Mamba and Mamba-2,
# 128 to 768 wide.
FLOAT32_RATES = Rates(
    start=3.0,
    open=2.0,
    convert=9.0e-8,
    load=1.2e-8,
    forward=1.2e-11,
    scan=4.0e-9,
    statistics=5.5e-12,
    gradients=8.0e-11,
    solve={
        "apt/n:m": 1.7e-7,
        "apt/unstructured": 1.2e-7,
        "apt-joint/n:m": 1.1e-6,
        "apt-joint/unstructured": 1.1e-6,
        "alps/n:m": 1.3e-6,
        "alps/unstructured": 1.3e-6,
        "sparsegpt/n:m": 1.1e-7,
        "sparsegpt/unstructured": 9.0e-8,
        "wanda/n:m": 1.7e-8,
        "wanda/unstructured": 1.9e-8,
        # the next six: one block's layers, scaled by SparseGPT's rate in the same run
        "thanos/n:m": 1.7e-7,
        "thanos/unstructured": 1.3e-7,
        "d2prune/n:m": 1.2e-7,
        "d2prune/unstructured": 9.5e-8,
        "ria/n:m": 2.0e-8,
        "ria/unstructured": 2.3e-8,
        "admm/n:m": 5.5e-7,
        "admm/unstructured": 5.5e-7,
        "sparseswaps/n:m": 3.0e-6,
        "sparseswaps/unstructured": 9.0e-7,
        "optima/n:m": 2.2e-6,
        "optima/unstructured": 2.2e-6,
        "magnitude/n:m": 1.5e-8,
        "magnitude/unstructured": 2.2e-8,
    },
    eval=1.2e-11,
    eval_scan=4.0e-9,
    save=1.0e-9,
    generation=3.9e-8,
    dtype="float32",
    conditions="a 2-core Xeon in float32",
)

BFLOAT16_RATES = Rates(
    start=1.5,
    open=1.9,
    convert=9.0e-8,
    load=1.0e-9,
    forward=5.6e-12,
    scan=2.6e-9,
    statistics=3.7e-12,
    gradients=3.6e-11,
    # apt, apt-joint and alps/n:m measured on a quiet machine; optima, like `convert` and `save`, is the Xeon's; the
    # others were measured with other work beside them, so scaled by how long the forwards of the same run took
    solve={
        "apt/n:m": 1.4e-7,
        "apt/unstructured": 1.2e-7,
        "apt-joint/n:m": 4.2e-7,
        "apt-joint/unstructured": 4.0e-7,
        "alps/n:m": 7.6e-7,
        "alps/unstructured": 1.1e-6,
        "sparsegpt/n:m": 5.7e-8,
        "sparsegpt/unstructured": 5.4e-8,
        "wanda/n:m": 1.3e-8,
        "wanda/unstructured": 1.6e-8,
        "thanos/n:m": 9.2e-8,
        "thanos/unstructured": 1.2e-7,
        "d2prune/n:m": 6.4e-8,
        "d2prune/unstructured": 6.2e-8,
        "ria/n:m": 1.5e-8,
        "ria/unstructured": 1.7e-8,
        "admm/n:m": 3.6e-7,
        "admm/unstructured": 3.6e-7,
        "sparseswaps/n:m": 1.8e-6,
        "sparseswaps/unstructured": 5.9e-7,
        "optima/n:m": 2.2e-6,
        "optima/unstructured": 2.2e-6,
        "magnitude/n:m": 1.4e-8,
        "magnitude/unstructured": 1.5e-8,
    },
    eval=6.0e-12,
    eval_scan=2.6e-9,
    save=1.0e-9,
    generation=1.6e-8,
    dtype="bfloat16",
    conditions="a 2-core EPYC in bfloat16",
)

GRADIENT_TOKENS = 6144  # of the calibration set, where a method asks the loss

# The load of a first run holds its download and conversion, which says nothing about the next one.
_SLOWEST_LOAD = 4
_EXPERT = re.compile(r"\.\d+\.")  # "mlp.experts.3.down_proj" is one of many


def packaged_rates(dtype: str = "auto") -> Rates:
    """Those for forwards in `dtype`; for "auto" in what this machine is likely to choose."""
    chosen = ("bfloat16" if cpu.is_fast_in_bfloat16() else "float32") if dtype == "auto" else dtype
    return BFLOAT16_RATES if chosen == "bfloat16" else FLOAT32_RATES


def rates_from(record: RunRecord, base: Rates | None = None) -> Rates:
    """`base` (None: the packaged rates) with what a finished run measured in its place.

    What one figure of a run does not tell apart (the two rates of a stage; methods that the run did not use) is
    scaled by how much faster or slower the machine was than `base` says. A run that did not finish, or recorded
    elsewhere, teaches nothing: `base` comes back.
    """
    base = base or packaged_rates(record.model.dtype if record.model else "auto")
    if (
        record.finished is None
        or record.model is None
        or record.conditions
        or not isinstance(record.job, Recipe)
    ):
        return base
    work = _Work(record, record.model, record.finished)
    key = solve_key(record)
    solve = work.rate("solve", work.weights) or base.solving(key)
    faster = solve / base.solving(key)
    loading = min(work.slower("load", work.loading(base)), _SLOWEST_LOAD) if work.whole_model else 1.0
    forward = work.slower("forward", work.forwards(base))
    evaluating = work.slower(work.evaluated_in, work.evaluating(base))
    return Rates(
        start=work.start if work.start is not None else base.start,
        convert=base.convert,
        open=loading * base.open,
        load=loading * base.load,
        forward=forward * base.forward,
        scan=forward * base.scan,
        statistics=work.rate("statistics", work.calibration_tokens * work.squares * work.grams)
        or base.statistics,
        gradients=work.rate("gradients", work.asked_tokens * work.weights) or base.gradients,
        solve={other: rate * faster for other, rate in base.solve.items()} | {key: solve},
        eval=evaluating * base.eval,
        eval_scan=evaluating * base.eval_scan,
        save=work.rate("save", work.bytes) or base.save,
        generation=(work.whole_model and work.rate("measure", work.parameters)) or base.generation,
        dtype=record.model.dtype,
        conditions=record.model.hardware,
        measured_here=True,
    )


def solve_key(record: RunRecord) -> str:
    return f"{record.job.method.name}/{record.job.pattern.kind}"


def asked_tokens(recipe: Recipe) -> int:
    """Calibration tokens whose gradients are taken, where a method asks the loss."""
    if Statistic.OUTPUT_GRADIENTS not in recipe.method.needs_for(recipe.pattern):
        return 0
    length = recipe.calibration.length
    return min(recipe.calibration.samples, max(1, GRADIENT_TOKENS // length)) * length


def forward_passes(recipe: Recipe) -> int:
    """How often each block is computed: once, and once more in the dense model where a method compares."""
    return 2 if Statistic.DENSE_STREAM in recipe.method.needs_for(recipe.pattern) else 1


def gram_matrices(recipe: Recipe) -> int:
    """The work on an input's statistics, in Gram matrices; the drift is not symmetric, so it counts twice."""
    return 3 if Statistic.DENSE_STREAM in recipe.method.needs_for(recipe.pattern) else 1


def distinct_input(layer: str) -> str:
    """Layers of a block that are handed the same tensor share a name: q, k and v; gate and up.

    Experts count as one: each sees its share of the tokens, and only one Gram matrix exists at a time.
    """
    place, _, projection = _EXPERT.sub(".", layer).rpartition(".")
    if projection in {"q_proj", "k_proj", "v_proj"}:
        return f"{place}.qkv"
    if projection in {"gate_proj", "up_proj", "gate_up_proj", "w1", "w3"}:
        return f"{place}.gate_up"
    return f"{place}.{projection}"


class _Work:
    """How much of each unit a finished run did."""

    def __init__(self, record: RunRecord, model: ModelLoaded, finished: Finished):
        self.seconds = finished.seconds
        self.start = _start_of(record, finished)
        self.weights = model.prunable
        self.parameters = model.parameters
        self.scans = model.scans
        self.bytes = record.dense_speed.bytes_on_disk if record.dense_speed else 0
        # without a speed the weights stayed on disk: nothing was loaded whole, and no token was written
        self.whole_model = record.dense_speed is not None and record.dense_speed.tokens_per_second is not None
        self.calibration_tokens = record.job.calibration.samples * record.job.calibration.length
        self.asked_tokens = asked_tokens(record.job)
        self.passes, self.grams = forward_passes(record.job), gram_matrices(record.job)
        # a dense perplexity that was reused took no time
        reused = any(each.reused for each in record.evaluated_on("dense"))
        self.evaluated_in = "pruned_eval" if reused else "dense_eval"
        self.evaluated_tokens = sum(each.windows * each.length for each in record.evaluated_on("dense"))
        widths = {(layer.block, distinct_input(layer.layer)): layer.shape[1] for layer in record.layers}
        self.squares = sum(width**2 for width in widths.values())

    def loading(self, rates: Rates) -> float:
        """Seconds at these rates."""
        return rates.open + self.bytes * rates.load

    def forwards(self, rates: Rates) -> float:
        of_a_token = self.weights * rates.forward + self.scans * rates.scan
        return self.calibration_tokens * self.passes * of_a_token

    def evaluating(self, rates: Rates) -> float:
        return self.evaluated_tokens * (self.parameters * rates.eval + self.scans * rates.eval_scan)

    def slower(self, stage: str, seconds: float) -> float:
        """How many times as long as so many seconds a stage took; 1 when the run does not tell."""
        return self.rate(stage, seconds) or 1.0

    def rate(self, stage: str, units: float) -> float | None:
        """Seconds per unit of a stage; None when the run does not tell."""
        spent = self.seconds.get(stage, 0.0)
        return spent / units if spent > 0 and units > 0 else None


def _start_of(record: RunRecord, finished: Finished) -> float | None:
    """Seconds of the worker's life outside the pipeline: loading libraries, mostly."""
    total = finished.seconds.get("total")
    if total is None or record.started_at is None or record.ended_at is None:
        return None
    return max(0.0, record.ended_at - record.started_at - total)
