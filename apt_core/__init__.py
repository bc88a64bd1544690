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
from tempfile import TemporaryDirectory
from time import time
from typing import TYPE_CHECKING, Any

from apt_core.base.lazy import lazy
from apt_core.base.policy import HostPolicy

if TYPE_CHECKING:
    from apt_core import events, execute, jobs
    from apt_core.base import hardware, patterns
    from apt_core.estimate import placing
    from apt_core.events import Evaluated, Event, records
    from apt_core.events.records import RunRecord
    from apt_core.jobs import Job, Prune
    from apt_core.measure import generate as duels
    from apt_core.measure import questions
    from apt_core.measure.questions import Answered
    from apt_core.models.fetch import sources
    from apt_core.models.load import loading
    from apt_core.runs import store as stores
else:
    events, execute, jobs = lazy("apt_core.events"), lazy("apt_core.execute"), lazy("apt_core.jobs")
    hardware, patterns = lazy("apt_core.base.hardware"), lazy("apt_core.base.patterns")
    placing = lazy("apt_core.estimate.placing")
    records = lazy("apt_core.events.records")
    duels, questions = lazy("apt_core.measure.generate"), lazy("apt_core.measure.questions")
    sources, loading = lazy("apt_core.models.fetch.sources"), lazy("apt_core.models.load.loading")
    stores = lazy("apt_core.runs.store")

__version__ = "0.1.0"
__all__ = ["evaluate", "generate", "load_model", "plan", "prune", "run"]

Watch = Callable[["Event"], None]


def plan(
    model: str = "smollm2-135m",
    method: str = "apt",
    pattern: str | float = "2:4",
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> Prune:
    """A checked pruning job. `pattern` is '2:4', '50%' or 0.5; other fields as in `apt_core.jobs.Prune`.

    options: of the method, nested ({"mask": {"block_size": 64}}) or by path ({"allocation": "loss"}).
    Raises BadInput with one sentence.
    """
    return jobs.make_job(
        "prune",
        model={"id": model},
        method={"name": method, **(options or {})},
        pattern=patterns.parse_pattern(str(pattern)),
        **fields,
    )


def run(job: Job, folder: str | Path | None = None) -> Iterator[Event]:
    """Do a job in this process, yielding every event (`apt_core.events`).

    folder: where `checkpoint/` (what the job makes) goes; a temporary folder when None, gone at the end.
    """
    if folder is not None:
        yield from _run(job, Path(folder))
        return
    with TemporaryDirectory(prefix="apt-run-") as temporary:
        for event in _run(job, Path(temporary)):
            yield event.model_copy(update={"checkpoint": ""}) if event.kind == "finished" else event


def _run(job: Job, folder: Path) -> Iterator[Event]:
    context = execute.Context.of(
        job,
        folder,
        HostPolicy.from_environment(),
        stores.Store(),
        place=placing.place,
        walk=placing.choose_walk,
    )
    return execute.run(job, context)


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
    texts = [text] if isinstance(text, str) else list(text)
    wanted = [{"text": one, "samples": samples, "length": length} for one in texts]
    job = jobs.make_job("evaluate", model={"id": model}, evaluation=wanted, **fields)
    found = _record_of(job, None, on_event).evaluated
    return found[0] if isinstance(text, str) else found


def _record_of(job: Job, out: str | Path | None, on_event: Watch | None) -> RunRecord:
    record = records.RunRecord(
        id="in-process", job=job, created_at=time(), started_at=time(), status="running"
    )
    for seq, event in enumerate(run(job, out)):
        record = records.fold(record, [events.Stamped(seq=seq, at=time(), event=event)])
        if on_event:
            on_event(event)
    return record


def load_model(model: str, device: str = "auto", dtype: str = "auto") -> tuple[Any, Any]:
    """(model, tokenizer) of a catalogue name, a local folder or a Hub id, ready to compute."""
    used = hardware.choose_device(device)
    wanted = jobs.make_value(jobs.ModelRef, id=model)
    folder = sources.resolve(wanted, policy=HostPolicy.from_environment())
    return loading.load(folder, hardware.choose_dtype(used, dtype), used)


def generate(dense: str, pruned: str, prompt: str, **question: Any) -> Answered:
    """What two models (names, folders or Hub ids) write to one prompt with common random numbers."""
    asked = jobs.make_value(questions.Question, prompt=prompt, **question)
    (left, tokenizer), (right, _) = load_model(dense), load_model(pruned)
    *_, answer = duels.duel(left, right, tokenizer, asked)
    return answer
