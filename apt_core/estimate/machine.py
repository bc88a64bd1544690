"""How fast a machine is: a handful of rates, measured in seconds of a process of its own, or the packaged ones.

    seconds = FLOPs / products + FLOPs / rounded + FLOPs / bfloat16 + FLOPs / grams + FLOPs / factorisations
              + FLOPs / spectra + numbers / selections + bytes / memory + bytes / (of one or a few tokens)
              + calls x call + blocks x block                                                (`base.cost.Cost`)

    python -m apt_core.estimate.machine       measures this machine, keeps the answer and prints it

Importing this module loads no torch: the page starts the measuring process in the background and goes by the
packaged rates until that has answered.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError

from apt_core.base import cpu
from apt_core.base.cost import Cost
from apt_core.base.paths import cache_dir
from apt_core.base.values import Frozen

_VERSION = 3  # of what is measured and how
_BUSY = 0.75  # processes that want a core, for each
_BFLOAT16_WORTH = 1.1  # so much faster and a run computes in it, as in `base.hardware`


class Machine(Frozen):
    """Rates, each per second unless it says otherwise."""

    products: float  # FLOPs of float32 matrix products
    rounded: float  # FLOPs of products of float32 matrices that are rounded to bfloat16 on the way
    bfloat16: float  # FLOPs of products of bfloat16 matrices
    grams: float  # FLOPs of products added up to Gram matrices, of float32 inputs
    rounded_grams: float  # the same of bfloat16 inputs
    factorisations: float  # FLOPs of Cholesky factors and triangular solves
    spectra: float  # FLOPs of eigendecompositions, 9 n^3 each
    selections: float  # numbers, of which the smallest are selected
    memory: float  # bytes read and written
    call: float  # seconds until an operation has begun
    block: float  # seconds around the arithmetic of one decoder block
    one_token: float  # bytes of weights that one token is multiplied by
    few_tokens: float  # bytes of weights that some ten tokens are multiplied by
    scan: float  # numbers of a state space mixer, each as often touched as transformers' own recurrence does
    disk_read: float  # bytes
    disk_write: float  # bytes
    start: float  # seconds until a process has imported torch
    open: float  # seconds until transformers' model classes are imported
    process: int = 350_000_000  # bytes of a process that has imported what a worker imports
    conditions: str
    measured: bool = False  # on this very machine

    @property
    def dtype(self) -> str:
        """In which the forwards of a run that leaves it open are likely to be computed."""
        return likely_dtype(self.products, self.bfloat16)

    def seconds(self, cost: Cost, dtype: str) -> float:
        """How long this work takes where forwards are computed in `dtype`."""
        rounds = dtype == "bfloat16"
        rounded = self.rounded if rounds else self.products
        forwards = self.bfloat16 if rounds else self.products
        grams = self.rounded_grams if rounds else self.grams
        return (
            cost.products / self.products
            + cost.rounded_products / rounded
            + cost.forward_products / forwards
            + cost.grams / grams
            + cost.factorisations / self.factorisations
            + cost.spectra / self.spectra
            + cost.sorted / self.selections
            + cost.moved / self.memory
            + cost.read_once / self.one_token
            + cost.read_by_few / self.few_tokens
            + cost.calls * self.call
            + cost.blocks * self.block
        )


def likely_dtype(products: float, bfloat16: float) -> str:
    """Of forwards, by the rates of products in float32 and in bfloat16."""
    return "bfloat16" if bfloat16 > _BFLOAT16_WORTH * products else "float32"


XEON = Machine(
    products=220e9, rounded=220e9, bfloat16=220e9, grams=124e9, rounded_grams=124e9, factorisations=75e9,
    spectra=120e9, selections=70e6, memory=32e9, call=4e-6, block=6e-4, one_token=8e9, few_tokens=4e9, scan=250e6,
    disk_read=2e9, disk_write=1e9, start=3.0, open=2.0, conditions="a 2-core Xeon in float32",
)  # fmt: skip

EPYC = Machine(
    products=320e9, rounded=380e9, bfloat16=600e9, grams=180e9, rounded_grams=180e9, factorisations=75e9,
    spectra=160e9, selections=85e6, memory=38e9, call=2e-6, block=3e-4, one_token=10e9, few_tokens=6e9, scan=380e6,
    disk_read=2e9, disk_write=1e9, start=1.5, open=1.9, conditions="a 2-core EPYC in bfloat16",
)  # fmt: skip


def packaged_machine(dtype: str = "auto") -> Machine:
    """A machine like this one, for runs whose forwards are in `dtype`."""
    chosen = ("bfloat16" if cpu.is_fast_in_bfloat16() else "float32") if dtype == "auto" else dtype
    return EPYC if chosen == "bfloat16" else XEON


# ---- what was measured here


def measured_machine() -> Machine | None:
    """What was measured on this hardware with these versions; None where it was not yet."""
    try:
        return Machine.model_validate_json(_file().read_text())
    except (OSError, ValidationError):
        return None


def this_machine(dtype: str = "auto") -> Machine:
    """The measured rates; where there are none yet the packaged ones, while a process measures in the background."""
    found = measured_machine()
    if found is None:
        measure_in_background()
    return found or packaged_machine(dtype)


def this_process() -> int:
    """Bytes of a worker before any weight, as measured here, or as packaged."""
    return (measured_machine() or packaged_machine()).process


_started = threading.Event()


def measure_in_background() -> None:
    """Start the process that measures, once in the life of this one. APT_MEASURE=0 leaves it out."""
    if _started.is_set() or os.environ.get("APT_MEASURE") == "0":
        return
    _started.set()
    threading.Thread(target=_measure_elsewhere, name="measure-machine", daemon=True).start()


def _measure_elsewhere() -> None:
    """The process ends within seconds and writes its result to a file. A busy machine is measured another time."""
    subprocess.run(
        [sys.executable, "-m", "apt_core.estimate.machine", "--if-idle"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def _file() -> Path:
    return cache_dir() / "machine" / f"{_key()}.json"


def _key() -> str:
    """Other hardware or another torch: measured anew."""
    parts = (str(_VERSION), platform.node(), platform.machine(), cpu.model_name(), str(cpu.usable_cores()))
    return sha256("\n".join((*parts, *map(_version_of, ("torch", "transformers")))).encode()).hexdigest()[:16]


@cache
def _version_of(package: str) -> str:
    """Read from the package's metadata once: every estimate asks."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def is_busy() -> bool:
    """Are the cores so busy that a measurement would be wrong?"""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY * cpu.usable_cores()


def main(arguments: Sequence[str] = ()) -> int:
    """Measure and keep; with --if-idle only where no run is running."""
    if "--if-idle" in arguments and is_busy():
        return 1
    from apt_core.estimate.measuring import measure

    machine = measure(cache_dir())
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}.new")
    new.write_text(machine.model_dump_json(indent=1))
    new.replace(file)
    print(machine.model_dump_json(indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
