"""Which device and which float type to compute in, and what the machine is called."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from importlib.metadata import version

import psutil
import torch

from apt_core import __version__
from apt_core.base import cpu
from apt_core.base.errors import BadInput
from apt_core.base.float_speed import bfloat16_speedup
from apt_core.base.lazy import lazy

resource = lazy("resource")  # not on every system

_M_MMAP_THRESHOLD = -3  # of malloc.h
# Borders for `give_back_freed_memory`. ROOMY costs no time. SPARING, the size of a large layer's matrix, takes 55 MB
# off the peak of pruning SmolLM2 for 4% of its time, but would take a third more time for gradients.
ROOMY, SPARING, SCARCE = 32_000_000, 8_000_000, 4_000_000


def choose_device(wanted: str = "auto") -> str:
    """'cuda' when there, else 'mps' when torch says so, else 'cpu'. Raises BadInput for one that is missing."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name, there in available.items() if there)
    if not available[wanted]:
        raise BadInput(f"This machine has no {wanted.upper()} device; choose auto or cpu.")
    return wanted


def choose_dtype(device: str, wanted: str = "auto") -> torch.dtype:
    """bfloat16 on CUDA and on CPUs that are faster with it; float32 elsewhere.

    An AVX512-BF16 or AMX flag alone does not decide: on some CPUs the bfloat16 product is slower than
    float32 in spite of it, so the two are timed once a machine.
    """
    if wanted != "auto":
        return getattr(torch, wanted)
    if device == "cuda":
        return torch.bfloat16
    if device == "cpu" and cpu.has_bfloat16() and bfloat16_speedup() > 1.1:
        return torch.bfloat16
    return torch.float32


def gpus() -> list[tuple[str, int]]:
    """Every CUDA device and its free bytes, the current one first."""
    current = torch.cuda.current_device()
    numbers = sorted(range(torch.cuda.device_count()), key=lambda number: number != current)
    return [(f"cuda:{number}", torch.cuda.mem_get_info(number)[0]) for number in numbers]


def wait_for(device: torch.device) -> None:
    """Until a CUDA device has done what it was asked for; others answer when they have."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def give_back_freed_memory(above: int) -> None:
    """From here on tensors of more than so many bytes leave the process when they are freed (glibc; elsewhere nothing
    changes).

    By default the border rises to whatever was freed last, and what lies below it comes from a heap that keeps the
    gaps between tensors. Whatever leaves costs time when it comes again: see `ROOMY` and the others.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, above)


def trim_heap() -> None:
    """Give back what was freed in small pieces (glibc): after something large that does not come again soon."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def hardware_name(device: str) -> str:
    """e.g. 'Intel(R) Xeon(R) Processor, 2 cores, 23 GB'."""
    memory = round(psutil.virtual_memory().total / 2**30)
    host = f"{cpu.model_name()}, {cpu.usable_cores()} cores, {memory} GB"
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)} with {host}"
    return host


def versions() -> dict[str, str]:
    """The versions that decide a result."""
    return {
        "apt_studio": __version__,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "python": platform.python_version(),
    }


def peak_rss_bytes() -> int:
    """The most memory this process ever held (resident set, bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
