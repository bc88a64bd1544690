"""A machine is measured by a process of its own while nothing else runs; until then packaged rates stand in."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from apt_core.estimate import machine
from apt_core.estimate.machine import EPYC, XEON, measure, measured_machine, packaged_machine, this_machine

RATES = [name for name in machine.Machine.model_fields if name not in ("conditions", "measured", "packaged")]
ROOT = machine.Path(__file__).resolve().parents[2]


@pytest.fixture
def here(fresh_cache, monkeypatch):
    monkeypatch.setattr(machine, "is_busy", lambda: False)
    monkeypatch.setattr(machine.cpu, "is_fast_in_bfloat16", lambda: False)
    return fresh_cache


def lines(rounds: int = 2, **other: object) -> list[tuple[str, object]]:
    """What a process that measures a Xeon says. other: rate -> its values in turn."""
    said = [("conditions", "a machine, 2 cores")]
    for name in RATES:
        values = other.get(name, [getattr(XEON, name)] * rounds)
        said += [(name, value) for value in values]
    return said


@pytest.fixture
def measured_by(here, monkeypatch, tmp_path):
    """A process that says these lines and then sleeps, in the place of the one that measures."""

    def put(said, then: float = 0.0) -> None:
        script = tmp_path / "measuring.py"
        text = "\n".join(json.dumps(line) for line in said)
        script.write_text(f"import time\nprint({text!r}, flush=True)\ntime.sleep({then})\n")
        monkeypatch.setattr(machine, "_COMMAND", (sys.executable, str(script)))

    return put


def keep(found):
    file = machine._file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(found.model_dump_json())


def test_what_was_measured_is_found_again_and_wins(here):
    assert measured_machine() is None and this_machine("float32") == packaged_machine("float32")
    mine = XEON.model_copy(update={"products": 1e9, "measured": True})
    keep(mine)
    assert measured_machine() == mine == this_machine("float32") == this_machine()


@pytest.mark.parametrize("changed", ["versions", "measurement"])
def test_other_versions_or_another_measurement_are_measured_anew(here, monkeypatch, changed):
    keep(XEON)
    if changed == "versions":
        monkeypatch.setattr(machine, "_version_of", lambda package: "another")
    else:
        monkeypatch.setattr(machine, "_VERSION", machine._VERSION - 1)
    assert measured_machine() is None


def test_a_file_that_cannot_be_read_counts_for_nothing(here):
    keep(XEON)
    machine._file().write_text('{"products": "many"}')
    assert measured_machine() is None and this_machine("float32") == XEON


def test_a_quiet_measurement_is_kept_with_the_better_of_two_repeats(measured_by):
    measured_by(lines(products=[200e9, 210e9], call=[5e-6, 4.5e-6]))
    found = measure()
    assert found == measured_machine() and found.measured and not found.packaged
    assert found.products == 210e9 and found.call == 4.5e-6 and found.conditions == "a machine, 2 cores"
    assert isinstance(found.process, int)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("spectra", [XEON.spectra / 600, XEON.spectra / 600]),  # as it was kept from beside a run
        ("products", [50e9, 220e9]),  # two repeats that differ
        ("call", [1e-3, 1e-3]),
        ("disk_read", [1e15, 1e15]),
        ("scan", [250e6]),  # not measured twice in time
        ("start", [60.0]),
        ("process", [1e10]),
        ("memory", []),
        ("grams", [0.0, 0.0]),
    ],
)
def test_an_implausible_rate_stays_packaged_and_the_file_says_so(measured_by, name, values):
    measured_by(lines(**{name: values}))
    found = measure()
    assert found.packaged == (name,) and getattr(found, name) == getattr(XEON, name)
    assert json.loads(machine._file().read_text())["packaged"] == [name]


def test_a_faster_and_larger_machine_is_believed(measured_by, monkeypatch):
    monkeypatch.setattr(machine.cpu, "usable_cores", lambda: 64)
    fast = 64 / 2 * EPYC.bfloat16
    measured_by(lines(bfloat16=[fast, fast], products=[fast / 2, fast / 2]))
    assert not measure().packaged


def test_what_comes_too_late_stays_packaged(measured_by, monkeypatch):
    monkeypatch.setattr(machine, "_SECONDS", 1.5)
    measured_by(lines()[:9], then=30)
    began = time.monotonic()
    found = measure()
    assert time.monotonic() - began < 3
    assert found.measured and "scan" in found.packaged and found.scan == XEON.scan


def test_a_process_that_says_nothing_leaves_the_packaged_rates(measured_by):
    measured_by([])
    found = measure()
    assert not found.measured and found.products == packaged_machine().products


def test_a_busy_machine_is_left_alone(measured_by, monkeypatch):
    measured_by(lines())
    monkeypatch.setattr(machine, "is_busy", lambda: True)
    assert measure() is None and machine.main() == 1 and measured_machine() is None


def test_nothing_is_measured_while_a_run_works(measured_by):
    measured_by(lines())
    with machine.in_use(), machine.in_use():  # two runs may work at the same time
        assert measure() is None
    assert measure() is not None


def test_a_measurement_gives_way_to_a_run_within_a_second(measured_by, tmp_path):
    """The run is in another process; the measurement ends, keeps nothing, and the run does not wait for it."""
    measured_by(lines(), then=30)
    found = []
    measuring = threading.Thread(target=lambda: found.append(measure()))
    measuring.start()
    time.sleep(0.5)
    code = (
        "import time; from apt_core.estimate import machine\nbegan = time.monotonic()\n"
        "with machine.in_use():\n    print(time.monotonic() - began)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    measuring.join(timeout=1)
    assert not measuring.is_alive() and found == [None] and measured_machine() is None
    assert float(done.stdout) < 1.0


def test_a_run_works_where_the_cache_cannot_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "cache"
    blocked.write_text("a file")
    monkeypatch.setenv("APT_CACHE", str(blocked))
    with machine.in_use():
        pass


def test_an_error_of_the_run_is_not_swallowed(here):
    with pytest.raises(OSError, match="no room"), machine.in_use():
        raise OSError("no room")


def test_an_estimate_starts_no_measurement(here, monkeypatch):
    monkeypatch.delenv("APT_MEASURE", raising=False)
    monkeypatch.setattr(machine.subprocess, "Popen", None)
    assert this_machine() == packaged_machine() and machine.this_process() == packaged_machine().process


@pytest.mark.slow
def test_a_measurement_gives_rates_of_this_century(here):
    found = measure()
    assert found is not None and found.measured and found == measured_machine()
    assert 1e9 < found.products < 1e14 and 1e9 < found.memory < 1e13 and 1e5 < found.selections < 1e12
    assert 1e-8 < found.call < 1e-2 and found.start < 600
