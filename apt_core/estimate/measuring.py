"""The measurement of a machine: a few operations of the kinds that pruning consists of, each timed at its best.

    python -m apt_core.estimate.measuring FOLDER      FOLDER: on the disk whose speed counts

Prints a line [rate, value] as soon as it is known: the process can be killed at any time (`machine.measure`). First
what a worker's start takes, then every rate in two rounds, so that one disturbed by other programs shows. About three
seconds of computing beside the imports, with the threads that torch takes by itself, as in a run. The sizes are those
of a small model's layers: large enough for a rate, small enough for a phone's worth of memory.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from time import perf_counter

import psutil
import torch
import torch.nn.functional as F

from apt_core.base.hardware import hardware_name, peak_rss_bytes
from apt_core.estimate.machine import likely_dtype
from apt_core.estimate.measuring_models import decoder_rates, scan_rate
from apt_core.maths.hessian import LayerStats
from apt_core.maths.precision import bfloat16_products

_REPEATS = 3  # in each round
_ROUNDS = 2
_FILE = 16_000_000  # bytes


def rates(folder: Path) -> Iterator[tuple[str, float | str]]:
    """(name of `machine.Machine`, value), as they are measured."""
    yield "start", time.time() - psutil.Process().create_time()
    yield "open", _model_classes()
    yield "process", float(_peak_of_a_worker())
    yield "conditions", hardware_name("cpu")
    with torch.no_grad():
        for _ in range(_ROUNDS):
            yield from _round(folder)


def _round(folder: Path) -> Iterator[tuple[str, float]]:
    products, bfloat16 = _product(torch.float32), _product(torch.bfloat16)
    yield from (("products", products), ("bfloat16", bfloat16), ("rounded", _rounded()))
    yield "grams", _grams(torch.float32)
    yield "rounded_grams", _grams(torch.bfloat16)
    yield "factorisations", _factorisation()
    yield "spectra", _spectrum()
    yield "selections", _selection()
    yield "memory", _memory()
    yield "call", _call()
    yield from zip(("disk_write", "disk_read"), _disk(folder), strict=True)
    faster = getattr(torch, likely_dtype(products, bfloat16))
    yield from decoder_rates(faster, lambda work: _best(work, 2))._asdict().items()
    yield "scan", scan_rate(faster, lambda work: _best(work, 1))


def _best(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Seconds at the best of a few tries, after one that warms up: other work on the machine only adds."""
    work()
    spent = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        spent.append(perf_counter() - start)
    return max(min(spent), 1e-7)


def _product(dtype: torch.dtype) -> float:
    """A linear layer, 2048 tokens."""
    tokens, weight = torch.randn(2048, 576).to(dtype), torch.randn(1536, 576).to(dtype)
    return 2 * 2048 * 576 * 1536 / _best(lambda: F.linear(tokens, weight))


def _grams(dtype: torch.dtype) -> float:
    """What the inputs of a decoder block's layers are added up by: three of one width, one that is wider."""
    statistics = [
        (torch.randn(2048, width).to(dtype), LayerStats.empty(width)) for width in (*[576] * 3, 1536)
    ]

    def work() -> None:
        for inputs, stats in statistics:
            stats.add_(inputs)

    return sum(inputs.shape[0] * inputs.shape[1] ** 2 for inputs, _ in statistics) / _best(work)


def _rounded() -> float:
    """A step of the search for a mask where the statistics come from bfloat16 inputs."""
    weight, inverse = torch.randn(1536, 576), torch.randn(576, 576)
    with bfloat16_products(True):
        return 2 * 1536 * 576**2 / _best(lambda: weight @ inverse)


def _positive(width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2 * width, width, generator=generator)
    return rows.T @ rows / (2 * width) + 0.01 * torch.eye(width)


def _factorisation() -> float:
    """A Cholesky factor and its inverse: n^3 / 3 + n^3."""
    width = 1024
    matrix, identity = _positive(width), torch.eye(width)

    def work() -> None:
        lower = torch.linalg.cholesky_ex(matrix)[0]
        torch.linalg.solve_triangular(lower, identity, upper=False)

    return 4 / 3 * width**3 / _best(work)


def _spectrum() -> float:
    width = 576
    matrix = _positive(width)
    return 9 * width**3 / _best(lambda: torch.linalg.eigh(matrix), 2)


def _selection() -> float:
    """The order of numbers in groups of four."""
    numbers = torch.randn(250_000, 4)
    return numbers.numel() / _best(lambda: numbers.argsort(dim=1, stable=True))


def _memory() -> float:
    """Two tensors read and one written, of 16 MB each: more than most caches keep."""
    left, right, out = (torch.randn(4_000_000) for _ in range(3))
    return 3 * 4 * len(left) / _best(lambda: torch.mul(left, right, out=out))


def _call() -> float:
    few = torch.randn(16)

    def work() -> None:
        for _ in range(1000):
            few.add(1.0)

    return _best(work) / 1000


def _disk(folder: Path) -> tuple[float, float]:
    """(written, read) bytes per second. What was just written is read from the cache, as most models are."""
    folder.mkdir(parents=True, exist_ok=True)
    content = os.urandom(1_000_000) * (_FILE // 1_000_000)
    with tempfile.TemporaryDirectory(prefix="measure-", dir=folder) as place:
        file = Path(place) / "file"
        written = _best(lambda: file.write_bytes(content), 2)
        read = _best(file.read_bytes, 2)
    return _FILE / written, _FILE / read


def _model_classes() -> float:
    start = perf_counter()
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401 - for the time it takes

    return perf_counter() - start


def _peak_of_a_worker() -> int:
    """Bytes of a process that holds no weight yet and has multiplied a few numbers: this one, so far."""
    import_module("apt_core.execute.prune")  # above us: what a worker imports
    for dtype in (torch.float32, torch.bfloat16):
        F.linear(torch.randn(64, 64).to(dtype), torch.randn(64, 64).to(dtype))
    torch.linalg.eigh(torch.eye(64))
    torch.linalg.cholesky(torch.eye(64))
    return peak_rss_bytes()


if __name__ == "__main__":
    for found in rates(Path(sys.argv[1])):
        print(json.dumps(found), flush=True)
