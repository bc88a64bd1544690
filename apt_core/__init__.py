"""APT Studio's library: prune a language model, look at what it cost, read what it writes.

    import apt_core

    record = apt_core.prune("smollm2-135m", method="apt", pattern="2:4")
    print(record.dense.perplexity, record.pruned.perplexity)

    for event in apt_core.run(apt_core.plan("smollm2-135m", method="sparsegpt", pattern="0.5")):
        print(event)

Importing this package loads no torch; the first call that computes does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["evaluate", "generate", "load_model", "plan", "prune", "run"]

if TYPE_CHECKING:
    from apt_core.events import Evaluated, Event
    from apt_core.events.records import RunRecord
    from apt_core.jobs import Job, Prune
    from apt_core.measure.questions import Answered

Watch = Callable[["Event"], None]


def plan(
    model: str = "smollm2-135m",
    method: str = "apt",
    pattern: str | float = "2:4",
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> Prune:
    """A checked job. `pattern` is '2:4', '50%' or 0.5; other fields as in `apt_core.jobs.Prune`.

    Raises BadInput with one sentence.
    """
    from apt_core.base.patterns import parse_pattern
    from apt_core.jobs import make_job

    return make_job(
        "prune",
        model={"id": model},
        method={"name": method, **(options or {})},
        pattern=parse_pattern(str(pattern)),
        **fields,
    )


def run(job: Job, folder: str | Path | None = None) -> Iterator[Event]:
    """Do a job in this process, yielding every event (`apt_core.events`).

    folder: where `checkpoint/` (what the job makes) goes; a temporary folder when None, gone at the end.
    """
    from tempfile import TemporaryDirectory

    from apt_core.base.policy import HostPolicy
    from apt_core.execute import Context
    from apt_core.execute import run as execute
    from apt_core.runs.store import Store

    policy = HostPolicy.from_environment()
    if folder is not None:
        yield from execute(job, Context.of(job, Path(folder), policy, Store()))
        return
    with TemporaryDirectory(prefix="apt-run-") as temporary:
        for event in execute(job, Context.of(job, Path(temporary), policy, Store())):
            yield event.model_copy(update={"checkpoint": ""}) if event.kind == "finished" else event


def prune(
    model: str = "smollm2-135m",
    method: str = "apt",
    pattern: str | float = "2:4",
    out: str | Path | None = None,
    on_event: Watch | None = None,
    **fields: Any,
) -> RunRecord:
    """Prune in this process and return the record; the checkpoint goes to `out`/checkpoint when given."""
    return _record_of(plan(model, method, pattern, **fields), out, on_event)


def evaluate(
    model: str,
    text: str | Sequence[str] = "wikipedia",
    samples: int = 12,
    length: int = 1024,
    on_event: Watch | None = None,
    **fields: Any,
) -> Evaluated | tuple[Evaluated, ...]:
    """Perplexity of a catalogue model, folder, Hub id or `run:<id>`, with its 95% interval.

    Of one text its result, of a list of texts a tuple of results. Other fields as in `apt_core.jobs.Evaluate`.
    """
    from apt_core.jobs import make_job

    texts = [text] if isinstance(text, str) else list(text)
    wanted = [{"text": one, "samples": samples, "length": length} for one in texts]
    job = make_job("evaluate", model={"id": model}, evaluation=wanted, **fields)
    found = _record_of(job, None, on_event).evaluated
    return found[0] if isinstance(text, str) else found


def _record_of(job: Job, out: str | Path | None, on_event: Watch | None) -> RunRecord:
    from time import time

    from apt_core.events import Stamped
    from apt_core.events.records import RunRecord, fold

    record = RunRecord(id="in-process", job=job, created_at=time(), started_at=time(), status="running")
    for seq, event in enumerate(run(job, out)):
        record = fold(record, [Stamped(seq=seq, at=time(), event=event)])
        if on_event:
            on_event(event)
    return record


def load_model(model: str, device: str = "auto", dtype: str = "auto") -> tuple[Any, Any]:
    """(model, tokenizer) of a catalogue name, a local folder or a Hub id, ready to compute."""
    from apt_core.base.hardware import choose_device, choose_dtype
    from apt_core.jobs import ModelRef, make_value
    from apt_core.models.fetch.sources import resolve
    from apt_core.models.load.loading import load

    used = choose_device(device)
    folder = resolve(make_value(ModelRef, id=model))
    return load(folder, choose_dtype(used, dtype), used)


def generate(dense: str, pruned: str, prompt: str, **question: Any) -> Answered:
    """What two models (names, folders or Hub ids) write to one prompt with common random numbers."""
    from apt_core.jobs import make_value
    from apt_core.measure.generate import duel
    from apt_core.measure.questions import Question

    asked = make_value(Question, prompt=prompt, **question)
    (left, tokenizer), (right, _) = load_model(dense), load_model(pruned)
    *_, answer = duel(left, right, tokenizer, asked)
    return answer
