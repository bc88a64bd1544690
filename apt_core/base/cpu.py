"""What the processor says it can do. No torch: the page asks before anything is loaded."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def has_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Are there instructions for products of bfloat16 numbers? They can still be slower than float32."""
    flags = _flags(cpuinfo)
    return "avx512_bf16" in flags or "amx_bf16" in flags


def is_fast_in_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """A guess without a measurement: Intel's CPUs are with AMX only, AMD's with AVX512-BF16 already."""
    flags = _flags(cpuinfo)
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "AuthenticAMD" in flags)


def model_name(cpuinfo: Path = _CPUINFO) -> str:
    """As the maker calls it, e.g. 'Intel(R) Xeon(R) Processor'."""
    for line in _flags(cpuinfo).splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=8)
def _flags(cpuinfo: Path) -> str:
    """The first processor's entry; empty where there is no such file (Windows, macOS)."""
    try:
        return cpuinfo.read_text(errors="replace").split("\n\n", 1)[0]
    except OSError:
        return ""
