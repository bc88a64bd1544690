"""What methods made of the usual model when that was measured: `assets/measured/methods.json`.

The file is written by `python -m benchmarks.measured_methods` from recorded runs, with their conditions; nothing in it
is typed by hand. A method that was not measured is not in it.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic import Field

from apt_core.base.paths import ASSETS
from apt_core.base.values import Frozen

FILE = ASSETS / "measured" / "methods.json"


class Outcome(Frozen):
    """One setting of a method: its perplexity in multiples of the dense model's, with a paired 95% interval; of
    structures, the bytes as a share of the dense model's and the tokens per second as a multiple; of training, and of a
    component that was put in another's place, the perplexity that it began at."""

    setting: str  # '50%', '2:4', '25% of the blocks'
    perplexity: float
    low: float
    high: float
    before: float | None = None
    size: float | None = None
    timed: bool | None = (
        None  # whether speeds were measured; each is None where the difference is within the noise
    )
    speed: float | None = None  # of decoding
    prefill: float | None = None


class Measured(Frozen):
    """Outcomes by the name of the method, and by "slot=name" of a component. conditions: one sentence each, of
    perplexities and of speeds."""

    conditions: tuple[str, ...]
    outcomes: dict[str, tuple[Outcome, ...]]
    components: dict[str, tuple[Outcome, ...]] = Field(default_factory=dict)

    def of(self, method: str) -> tuple[Outcome, ...]:
        return self.outcomes.get(method, ())

    def of_component(self, slot: str, name: str) -> tuple[Outcome, ...]:
        return self.components.get(f"{slot}={name}", ())


@lru_cache(maxsize=1)
def load() -> Measured:
    return Measured.model_validate_json(FILE.read_text("utf-8"))
