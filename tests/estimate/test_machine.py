"""A machine is measured by a process of its own, once; until then others' rates stand in."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from apt_core.estimate import machine
from apt_core.estimate.machine import XEON, measured_machine, packaged_machine, this_machine


@pytest.fixture
def here(fresh_cache, monkeypatch):
    monkeypatch.setattr(machine, "_started", machine.threading.Event())
    monkeypatch.setattr(machine, "is_busy", lambda: False)
    return fresh_cache


def keep(found):
    file = machine._file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(found.model_dump_json())


def test_what_was_measured_is_found_again_and_wins(here):
    assert measured_machine() is None and this_machine("float32") == packaged_machine("float32")
    mine = XEON.model_copy(update={"products": 1e9, "measured": True})
    keep(mine)
    assert measured_machine() == mine == this_machine("float32") == this_machine()


def test_other_hardware_or_versions_are_measured_anew(here, monkeypatch):
    keep(XEON)
    monkeypatch.setattr(machine, "_version_of", lambda package: "another")
    assert measured_machine() is None


def test_a_file_that_cannot_be_read_counts_for_nothing(here):
    keep(XEON)
    machine._file().write_text('{"products": "many"}')
    assert measured_machine() is None


def test_the_measuring_process_is_started_once_and_not_where_it_is_unwanted(here, monkeypatch):
    started = []
    monkeypatch.setattr(machine, "_measure_elsewhere", lambda: started.append(1))
    this_machine()
    assert not started, "APT_MEASURE=0 in tests"
    monkeypatch.delenv("APT_MEASURE")
    for _ in range(3):
        this_machine()
    for _ in range(100):
        if started:
            break
        time.sleep(0.01)
    assert started == [1]


def test_a_busy_machine_is_left_alone(here, monkeypatch):
    monkeypatch.setattr(machine, "is_busy", lambda: True)
    assert machine.main(["--if-idle"]) == 1 and measured_machine() is None


@pytest.mark.slow
def test_a_measurement_gives_rates_of_this_century(here):
    done = subprocess.run(
        [sys.executable, "-m", "apt_core.estimate.machine"], capture_output=True, check=True
    )
    found = measured_machine()
    assert found is not None and found.measured and found.model_dump_json(indent=1) in done.stdout.decode()
    assert 1e9 < found.products < 1e14 and 1e9 < found.memory < 1e13 and 1e5 < found.selections < 1e12
    assert 1e-8 < found.call < 1e-2 and found.start < 600
