"""How fast a machine is: a handful of rates, measured in seconds of a process of its own, or the packaged ones.

    seconds = FLOPs / products + FLOPs / rounded + FLOPs / bfloat16 + FLOPs / grams + FLOPs / factorisations
              + FLOPs / spectra + numbers / selections + bytes / memory + bytes / (of one or a few tokens)
              + calls x call + blocks x block                                                (`base.cost.Cost`)

    python -m apt_core.estimate.machine       measures this machine, keeps the answer and prints it

The page measures while nothing runs (`runs.idle`); until then the packaged rates count. A run and a measurement
exclude each other (`in_use`): the run never waits, the measurement is killed and done another time. Importing this
module loads no torch.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

import psutil
from pydantic import ValidationError

from apt_core.base import cpu
from apt_core.base.cost import Cost
from apt_core.base.paths import cache_dir
from apt_core.base.values import Frozen

_COMMAND = (sys.executable, "-m", "apt_core.estimate.measuring")
_VERSION = 4  # of what is measured and how
_BUSY = 0.25  # share of the cores that others use
_LOOK_SECONDS = 0.5  # for which that is watched
_SECONDS = 10.0  # that a measurement may take
_POLL_SECONDS = 0.05
_GIVES_WAY_SECONDS = 1.0  # within which a measurement has ended for a run
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
    packaged: tuple[str, ...] = ()  # rates whose measurement was implausible or came too late: packaged ones

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
    """The measured rates; where there are none yet the packaged ones."""
    return measured_machine() or packaged_machine(dtype)


def this_process() -> int:
    """Bytes of a worker before any weight, as measured here, or as packaged."""
    return (measured_machine() or packaged_machine()).process


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


# ---- a run and a measurement exclude each other


@contextmanager
def in_use() -> Iterator[None]:
    """Around whatever computes on this machine: a measurement that is under way ends, and none begins meanwhile.

    Waits for a second at most, and not at all where the cache cannot be written.
    """
    with ExitStack() as held:
        with suppress(OSError):
            lock = held.enter_context(_lock_file())
            until = time.monotonic() + _GIVES_WAY_SECONDS
            while not _locked(lock, fcntl.LOCK_SH) and time.monotonic() < until:
                give_way()
                time.sleep(_POLL_SECONDS)
        yield


def give_way() -> None:
    """End a measurement that is under way, in whichever process: a run is asked for."""
    with suppress(OSError):
        os.utime(_lock_path())


def is_busy() -> bool:
    """Do other programs use so much of the cores that a measurement would be wrong? Watches them for half a second."""
    return psutil.cpu_percent(_LOOK_SECONDS) > 100 * _BUSY


def measure(environment: Mapping[str, str] | None = None) -> Machine | None:
    """Measure this machine in a process of its own and keep the answer; None where a run, another measurement or other
    programs have the cores, or a run is asked for meanwhile.

    Takes 10 seconds at most; what was not measured by then, or is implausible, stays packaged. environment: of the
    process, as a run would have it.
    """
    with _lock_file() as lock:
        if is_busy() or not _locked(lock, fcntl.LOCK_EX):
            return None
        told = _told_by_a_process(os.environ if environment is None else environment)
        if told is None:
            return None
        machine = _believed(told)
        file = _file()
        new = file.with_suffix(f".{os.getpid()}.new")
        new.write_text(machine.model_dump_json(indent=1))
        new.replace(file)
        return machine


def _told_by_a_process(environment: Mapping[str, str]) -> list[tuple[str, float | str]] | None:
    """(rate, value) in the order in which they were measured; None where a run was asked for meanwhile."""
    asked_for, until = _asked_for(), time.monotonic() + _SECONDS
    with subprocess.Popen(
        [*_COMMAND, str(cache_dir())],
        env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            while process.poll() is None and time.monotonic() < until:
                if _asked_for() != asked_for:
                    return None
                time.sleep(_POLL_SECONDS)
        finally:
            process.kill()
        lines = process.stdout.read().splitlines() if process.stdout else []
    found: list[tuple[str, float | str]] = []
    for line in lines:
        with suppress(ValueError):  # the last one, of a process that was killed while it wrote
            name, value = json.loads(line)
            found.append((name, value))
    return found


def _lock_path() -> Path:
    """Its time of change says when a run was last asked for."""
    return cache_dir() / "machine" / "in-use.lock"


def _lock_file() -> IO[bytes]:
    path = _lock_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "ab")


def _locked(lock: IO[bytes], how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _asked_for() -> int:
    return _lock_path().stat().st_mtime_ns


# ---- what is believed of a measurement

_REPEATS_AGREE = 2.0  # the most by which two repeats may differ
_BY_CORE = 20.0  # times slower than the slower packaged machine, or faster by core than the faster one
_ONCE = {"start": 5.0, "open": 5.0, "process": 3.0}  # measured once; times as much or as little as packaged
_SECONDS_NOT_RATES = {"call", "block", *_ONCE}


def _believed(told: list[tuple[str, float | str]]) -> Machine:
    """The packaged machine with every rate that was measured plausibly; `packaged` names the others."""
    values: dict[str, list[float]] = {}
    for name, value in told:
        if isinstance(value, int | float):
            values.setdefault(name, []).append(value)
    good = {name: best for name in _RATES if (best := _plausible(name, values.get(name, []))) is not None}
    conditions = next((str(value) for name, value in told if name == "conditions"), cpu.model_name())
    likely = likely_dtype(good.get("products", 1.0), good.get("bfloat16", 1.0))
    packaged = packaged_machine(likely if {"products", "bfloat16"} <= good.keys() else "auto")
    left = tuple(name for name in _RATES if name not in good)
    return packaged.model_copy(
        update=good | {"conditions": conditions, "measured": bool(good), "packaged": left}
    )


def _plausible(name: str, repeats: list[float]) -> float | None:
    """The best of the repeats; None where they are missing, differ too much, or are far from every packaged machine."""
    if len(repeats) < (1 if name in _ONCE else 2) or min(repeats) <= 0:
        return None
    if max(repeats) > _REPEATS_AGREE * min(repeats):
        return None
    known = [getattr(machine, name) for machine in (XEON, EPYC)]
    cores = max(cpu.usable_cores() / 2, 1.0)  # those machines have two
    if name in _SECONDS_NOT_RATES:
        best, slack = min(repeats), _ONCE.get(name, _BY_CORE)
        plausible = min(known) / slack <= best <= max(known) * slack
    else:
        best = max(repeats)
        plausible = min(known) / _BY_CORE <= best <= max(known) * _BY_CORE * cores
    if not plausible:
        return None
    return int(best) if name == "process" else best


_RATES = [name for name in Machine.model_fields if name not in ("conditions", "measured", "packaged")]


def main() -> int:
    """Measure, keep and print; exit status 1 where the machine is in use."""
    machine = measure()
    if machine is None:
        print("The machine is in use; measure it when nothing else runs.", file=sys.stderr)
        return 1
    print(machine.model_dump_json(indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
