"""What the page foretells of a run, from this machine's rates and from whether a process waits for it."""

from __future__ import annotations

import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe

from apt_core.estimate.rates import rates_here
from apt_core.ui.forms import checks
from apt_core.ui.studio import Studio

TINY = "tiny-random-llama"
BUNDLED = {"calibration": {"text": "wiki-sample"}, "evaluation": {"text": "wiki-sample"}}


def test_a_waiting_process_spares_the_imports_and_the_estimate_says_so(tmp_path):
    store = FakeStore(checkpoint=tmp_path)
    studio = Studio(store, FakeLauncher(store), FakeReader(), {})
    job, facts = a_recipe(model={"id": TINY}, **BUNDLED), checks.facts_for(studio, TINY)
    cold = checks.estimate_of(studio, [job], facts)
    studio.launcher.warm = True
    warm = checks.estimate_of(studio, [job], facts)
    machine = rates_here().machine
    assert cold.seconds - warm.seconds == pytest.approx(machine.start + machine.open)
    assert warm.memory_bytes == cold.memory_bytes
    assert checks.needs_of(studio, job, facts).seconds == warm.seconds
