"""APT Studio's library: prune a language model, look at what it cost, read what it writes.

    import apt_core

    record = apt_core.prune("smollm2-135m", method="apt", pattern="2:4")
    print(record.dense.perplexity, record.pruned.perplexity)

    for event in apt_core.run(apt_core.plan("smollm2-135m", method="sparsegpt", pattern="0.5")):
        print(event)

Importing this package loads no torch; the first call that computes does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["evaluate", "generate", "load_model", "plan", "prune", "run"]

if TYPE_CHECKING:
    from apt_core.events import Evaluated, Event
    from apt_core.events.records import RunRecord
    from apt_core.jobs.recipe import Recipe
    from apt_core.measure.questions import Answered


def plan(
    model: str = "smollm2-135m",
    method: str = "apt",
    pattern: str | float = "2:4",
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> Recipe:
    """A checked Recipe. `pattern` is '2:4', '50%' or 0.5; other fields as in `apt_core.jobs.recipe.Recipe`.

    Raises BadInput with one sentence.
    """
    from apt_core.base.patterns import parse_pattern
    from apt_core.jobs.recipe import make_recipe

    return make_recipe(
        model={"id": model},
        method={"name": method, **(options or {})},
        pattern=parse_pattern(str(pattern)),
        **fields,
    )


def run(recipe: Recipe, folder: str | Path | None = None) -> Iterator[Event]:
    """Run in this process, yielding every event (`apt_core.events`); the checkpoint goes to folder/checkpoint."""
    from apt_core.estimate.placing import place
    from apt_core.execute.prune import run as pipeline_run

    return pipeline_run(recipe, Path(folder) if folder is not None else None, place)


def prune(
    model: str = "smollm2-135m",
    method: str = "apt",
    pattern: str | float = "2:4",
    out: str | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
    **fields: Any,
) -> RunRecord:
    """Prune in this process and return the record; the checkpoint goes to `out`/checkpoint when given."""
    from time import time

    from apt_core.events import Stamped
    from apt_core.events.records import RunRecord, fold

    wanted = plan(model, method, pattern, **fields)
    record = RunRecord(id="in-process", recipe=wanted, created_at=time(), started_at=time(), status="running")
    for seq, event in enumerate(run(wanted, out)):
        record = fold(record, [Stamped(seq=seq, at=time(), event=event)])
        if on_event:
            on_event(event)
    return record


def evaluate(
    model: str, text: str = "wikipedia", samples: int = 12, length: int = 1024, **more: Any
) -> Evaluated:
    """Perplexity of a catalogue model, folder or Hub id."""
    from apt_core.measure.perplexity import evaluate as measure

    return measure(model, text, samples, length, **more)


def load_model(model: str, device: str = "auto", dtype: str = "auto") -> tuple[Any, Any]:
    """(model, tokenizer) of a catalogue name, a local folder or a Hub id, ready to compute."""
    from apt_core.base.hardware import choose_device, choose_dtype
    from apt_core.jobs.recipe import ModelRef, make_value
    from apt_core.models.fetch.sources import resolve
    from apt_core.models.load.loading import load

    used = choose_device(device)
    folder = resolve(make_value(ModelRef, id=model), lambda *_: None)
    return load(folder, choose_dtype(used, dtype), used)


def generate(dense: str, pruned: str, prompt: str, **question: Any) -> Answered:
    """What two models (names, folders or Hub ids) write to one prompt with common random numbers."""
    from apt_core.jobs.recipe import make_value
    from apt_core.measure.generate import duel
    from apt_core.measure.questions import Question

    asked = make_value(Question, prompt=prompt, **question)
    (left, tokenizer), (right, _) = load_model(dense), load_model(pruned)
    *_, answer = duel(left, right, tokenizer, asked)
    return answer
