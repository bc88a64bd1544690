"""How much faster this processor multiplies in bfloat16 than in float32: timed once and kept.

What a busy machine says differs from one moment to the next, and runs that are compared should compute alike: the
first answer holds for every later run on the same processor with the same torch.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import torch
from filelock import FileLock

from apt_core.base import cpu
from apt_core.base.paths import cache_dir

_FILE = "float_speed.json"
_PATIENCE_SECONDS = 30.0  # with a process that times
_ROUNDS = 5  # of both types in turns; the fastest counts


@lru_cache(maxsize=1)
def bfloat16_speedup() -> float:
    """Time of a float32 matrix product over that of the same one in bfloat16 (about 0.3 s, once a machine)."""
    file, machine = cache_dir() / _FILE, f"{cpu.model_name()}, torch {torch.__version__}"
    known = _kept(file, machine)
    return _first_answer(file, machine) if known is None else known


def _first_answer(file: Path, machine: str) -> float:
    """One process times and keeps it; those that begin meanwhile wait, and take what it found."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=_PATIENCE_SECONDS):
            known = _kept(file, machine)
            if known is None:
                known = _timed()
                with suppress(OSError):  # no room: timed again next time
                    _keep(file, machine, known)
            return known
    except (OSError, NotImplementedError):  # a cache that cannot be written, or whose disk knows no locks
        return _timed()


def _kept(file: Path, machine: str) -> float | None:
    try:
        found = json.loads(file.read_text("utf-8"))
        speedup = float(found["speedup"])
        return speedup if found["machine"] == machine and speedup > 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(file: Path, machine: str, speedup: float) -> None:
    """Whole or not at all."""
    partial = file.with_suffix(f".{os.getpid()}.part")
    partial.write_text(json.dumps({"machine": machine, "speedup": speedup}), "utf-8")
    os.replace(partial, file)


def _timed() -> float:
    types = (torch.float32, torch.bfloat16)
    factors = {one: (torch.ones(2048, 512, dtype=one), torch.ones(1024, 512, dtype=one)) for one in types}
    seconds = dict.fromkeys(types, float("inf"))
    for _ in range(_ROUNDS + 1):  # the first round warms up, and is slow enough not to count
        for one, (left, right) in factors.items():
            start = perf_counter()
            torch.nn.functional.linear(left, right)
            seconds[one] = min(seconds[one], perf_counter() - start)
    return seconds[torch.float32] / seconds[torch.bfloat16]
