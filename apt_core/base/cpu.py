"""What the processor says it can do. No torch: the page asks before anything is loaded."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from functools import lru_cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
GROUPS = Path("/sys/fs/cgroup")


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


def usable_cores(groups: Path = GROUPS) -> int:
    """Those that this process may run on, or as many of them as its container's share of processor time pays for."""
    return max(1, min([len(affinity()), *_container_shares(groups)]))


def affinity() -> list[int]:
    """The numbers of the cores that this process may run on."""
    return (
        sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else list(range(os.cpu_count() or 1))
    )


def _container_shares(root: Path) -> list[int]:
    """Whole cores that the control groups (version 2, then 1) allow, rounded up."""
    shares = []
    for group in control_groups(root):
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit from this version
            quota, period = (group / "cpu.max").read_text().split()
            shares.append(math.ceil(int(quota) / int(period)))
        with contextlib.suppress(OSError, ValueError):
            quota, period = ((group / "cpu" / f"cpu.cfs_{one}_us").read_text() for one in ("quota", "period"))
            shares += [math.ceil(int(quota) / int(period))] if int(quota) > 0 else []
    return shares


def control_groups(root: Path = GROUPS, own: Path = Path("/proc/self/cgroup")) -> list[Path]:
    """The control group of this process, and those around it: of a container that sees only its own it is the root, of
    a service a folder below it."""
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            if line.startswith("0::/"):
                inside = root / line.removeprefix("0::/")
                return [group for group in (inside, *inside.parents) if group.is_relative_to(root)]
    return [root]


@lru_cache(maxsize=8)
def _flags(cpuinfo: Path) -> str:
    """The first processor's entry; empty where there is no such file (Windows, macOS)."""
    try:
        return cpuinfo.read_text(errors="replace").split("\n\n", 1)[0]
    except OSError:
        return ""
