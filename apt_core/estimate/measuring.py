"""The measurement of a machine: a few operations of the kinds that pruning consists of, each timed at its best.

About three seconds of computing beside the imports. The sizes are those of a small model's layers: large enough
for a rate, small enough for a phone's worth of memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
import torch.nn.functional as F

from apt_core.base.hardware import hardware_name
from apt_core.estimate.machine import Machine, likely_dtype
from apt_core.estimate.measuring_models import decoder_rates, scan_rate
from apt_core.maths.hessian import LayerStats
from apt_core.maths.precision import bfloat16_products

_REPEATS = 5
_FILE = 32_000_000  # bytes
Clock = Callable[[], float]


def measure(folder: Path, clock: Clock = perf_counter) -> Machine:
    """folder: on the disk whose speed counts. clock: process_time on a machine that others use as well."""
    with torch.no_grad():
        # Before this process holds models itself: a process that it starts begins with its peak.
        opened, process = _model_classes(), _process_bytes()
        written, read = _disk(folder, clock)
        products, bfloat16 = _product(torch.float32, clock), _product(torch.bfloat16, clock)
        faster = getattr(torch, likely_dtype(products, bfloat16))
        decoder = decoder_rates(faster, lambda work: _best(work, clock, repeats=3))
        return Machine(
            products=products,
            rounded=_rounded(clock),
            bfloat16=bfloat16,
            grams=_grams(torch.float32, clock),
            rounded_grams=_grams(torch.bfloat16, clock),
            factorisations=_factorisation(clock),
            spectra=_spectrum(clock),
            selections=_selection(clock),
            memory=_memory(clock),
            call=_call(clock),
            block=decoder.block,
            one_token=decoder.one_token,
            few_tokens=decoder.few_tokens,
            scan=scan_rate(faster, lambda work: _best(work, clock, repeats=1)),
            disk_read=read,
            disk_write=written,
            start=_interpreter_and_torch(),
            open=opened,
            process=process,
            conditions=hardware_name("cpu"),
            measured=True,
        )


def _best(work: Callable[[], object], clock: Clock, repeats: int = _REPEATS) -> float:
    """Seconds at the best of a few tries, after one that warms up: other work on the machine only adds."""
    work()
    spent = []
    for _ in range(repeats):
        start = clock()
        work()
        spent.append(clock() - start)
    return max(min(spent), 1e-7)


def _product(dtype: torch.dtype, clock: Clock) -> float:
    """A linear layer, 2048 tokens."""
    tokens, weight = torch.randn(2048, 576).to(dtype), torch.randn(1536, 576).to(dtype)
    return 2 * 2048 * 576 * 1536 / _best(lambda: F.linear(tokens, weight), clock)


def _grams(dtype: torch.dtype, clock: Clock) -> float:
    """What the inputs of a decoder block's layers are added up by: three of one width, one that is wider."""
    statistics = [
        (torch.randn(2048, width).to(dtype), LayerStats.empty(width)) for width in (*[576] * 3, 1536)
    ]

    def work() -> None:
        for inputs, stats in statistics:
            stats.add_(inputs)

    return sum(inputs.shape[0] * inputs.shape[1] ** 2 for inputs, _ in statistics) / _best(work, clock)


def _rounded(clock: Clock) -> float:
    """A step of the search for a mask where the statistics come from bfloat16 inputs."""
    weight, inverse = torch.randn(1536, 576), torch.randn(576, 576)
    with bfloat16_products(True):
        return 2 * 1536 * 576**2 / _best(lambda: weight @ inverse, clock)


def _positive(width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2 * width, width, generator=generator)
    return rows.T @ rows / (2 * width) + 0.01 * torch.eye(width)


def _factorisation(clock: Clock) -> float:
    """A Cholesky factor and its inverse: n^3 / 3 + n^3."""
    width = 1024
    matrix, identity = _positive(width), torch.eye(width)

    def work() -> None:
        lower = torch.linalg.cholesky_ex(matrix)[0]
        torch.linalg.solve_triangular(lower, identity, upper=False)

    return 4 / 3 * width**3 / _best(work, clock)


def _spectrum(clock: Clock) -> float:
    width = 576
    matrix = _positive(width)
    return 9 * width**3 / _best(lambda: torch.linalg.eigh(matrix), clock, repeats=2)


def _selection(clock: Clock) -> float:
    """The order of numbers in groups of four."""
    numbers = torch.randn(250_000, 4)
    return numbers.numel() / _best(lambda: numbers.argsort(dim=1, stable=True), clock)


def _memory(clock: Clock) -> float:
    """Two tensors read and one written, of 16 MB each: more than most caches keep."""
    left, right, out = (torch.randn(4_000_000) for _ in range(3))
    return 3 * 4 * len(left) / _best(lambda: torch.mul(left, right, out=out), clock)


def _call(clock: Clock) -> float:
    few = torch.randn(16)

    def work() -> None:
        for _ in range(1000):
            few.add(1.0)

    return _best(work, clock) / 1000


def _disk(folder: Path, clock: Clock) -> tuple[float, float]:
    """(written, read) bytes per second. What was just written is read from the cache, as most models are."""
    folder.mkdir(parents=True, exist_ok=True)
    content = os.urandom(1_000_000) * (_FILE // 1_000_000)
    with tempfile.TemporaryDirectory(prefix="measure-", dir=folder) as place:
        file = Path(place) / "file"
        written = _best(lambda: file.write_bytes(content), clock, repeats=2)
        read = _best(file.read_bytes, clock, repeats=2)
    return _FILE / written, _FILE / read


def _interpreter_and_torch() -> float:
    """Seconds of a process that imports torch and nothing else."""
    start = perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return perf_counter() - start


def _model_classes() -> float:
    start = perf_counter()
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401 - for the time it takes

    return perf_counter() - start


# What a worker imports and calls before it holds a weight of its own.
_WORKER = """
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from apt_core import execute
from apt_core.base.hardware import peak_rss_bytes
from apt_core.execute import prune
for dtype in (torch.float32, torch.bfloat16):
    F.linear(torch.randn(64, 64).to(dtype), torch.randn(64, 64).to(dtype))
torch.linalg.eigh(torch.eye(64))
torch.linalg.cholesky(torch.eye(64))
print(peak_rss_bytes())
"""


def _process_bytes() -> int:
    """The peak of a process that has loaded all that a worker does, and multiplied a few numbers."""
    done = subprocess.run([sys.executable, "-c", _WORKER], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])
