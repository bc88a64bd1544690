"""APT Studio's library: prune a language model, look at what it cost, read what it writes.

    import apt_core

    record = apt_core.prune("smollm2-135m", method="apt", pattern="2:4")
    print(record.dense.perplexity, record.pruned.perplexity)

    print(apt_core.allocation("smollm2-135m", "alphapruning", 0.7).layers)

    print(apt_core.compare(["20261124-130501-a1b2", "20261124-131022-c3d4"]).differing)

    for event in apt_core.run(apt_core.plan("smollm2-135m", method="sparsegpt", pattern="0.5")):
        print(event)

Importing this package loads no torch; the first call that computes does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import TYPE_CHECKING, Any

from apt_core.base.lazy import lazy
from apt_core.base.policy import HostPolicy

if TYPE_CHECKING:
    import apt_core.base.hardware as _hardware
    import apt_core.base.patterns as _patterns
    import apt_core.estimate.machine as _machine
    import apt_core.estimate.placing as _placing
    import apt_core.events as _events
    import apt_core.events.records as _records
    import apt_core.execute as _execute
    import apt_core.execute.allocation as _allocating
    import apt_core.jobs as _jobs
    import apt_core.measure.generate as _duels
    import apt_core.measure.inside.questions as _looks
    import apt_core.measure.questions as _questions
    import apt_core.methods as _methods
    import apt_core.models.fetch.sources as _sources
    import apt_core.models.load.loading as _loading
    import apt_core.reports.export as _exporting
    import apt_core.runs.store as _stores
    import apt_core.studies.compare as _comparing
    import apt_core.studies.law_runs as _law_runs
    import apt_core.studies.named_runs as _naming
    import apt_core.studies.scaling_law as _laws
    from apt_core.events import Evaluated, Event
    from apt_core.events.records import RunRecord
    from apt_core.jobs import Job, Pruning
    from apt_core.measure.layer_shares import LayerShares
    from apt_core.measure.questions import Answered
    from apt_core.studies.compare import Comparison
    from apt_core.studies.scaling_law import Laws
else:
    _hardware, _patterns = lazy("apt_core.base.hardware"), lazy("apt_core.base.patterns")
    _machine, _placing = lazy("apt_core.estimate.machine"), lazy("apt_core.estimate.placing")
    _execute = lazy("apt_core.execute")
    _allocating = lazy("apt_core.execute.allocation")
    _looks = lazy("apt_core.measure.inside.questions")
    _events, _records = lazy("apt_core.events"), lazy("apt_core.events.records")
    _jobs, _stores = lazy("apt_core.jobs"), lazy("apt_core.runs.store")
    _methods = lazy("apt_core.methods")
    _duels, _questions = lazy("apt_core.measure.generate"), lazy("apt_core.measure.questions")
    _sources, _loading = lazy("apt_core.models.fetch.sources"), lazy("apt_core.models.load.loading")
    _comparing, _exporting = lazy("apt_core.studies.compare"), lazy("apt_core.reports.export")
    _law_runs, _laws = lazy("apt_core.studies.law_runs"), lazy("apt_core.studies.scaling_law")
    _naming = lazy("apt_core.studies.named_runs")

# transformers would otherwise fetch compiled kernels from the Hub for models with a device map, and run them.
os.environ["USE_HUB_KERNELS"] = "NO"

__version__ = "0.2.0"
__all__ = [
    "allocation",
    "compare",
    "evaluate",
    "generate",
    "law",
    "load_model",
    "plan",
    "prune",
    "recover",
    "run",
    "search",
]

Watch = Callable[["Event"], None]


def plan(
    model: str = "smollm2-135m",
    method: str = "apt",
    pattern: str | float = "2:4",
    options: dict[str, Any] | None = None,
    revision: str | None = None,
    **fields: Any,
) -> Pruning:
    """A checked pruning job. `pattern` is '2:4', '50%' or 0.5; other fields as in `apt_core.jobs.Prune`, or, for a
    method that removes whole blocks, heads or channels, as in `apt_core.jobs.Shrink`.

    options: of the method, nested ({"mask": {"block_size": 64}}) or by path ({"allocation": "loss"}). revision: branch,
    tag or commit of a Hub model. Raises BadInput with one sentence.
    """
    fields |= {
        "model": {"id": model, "revision": revision},
        "method": {"name": method, **(options or {})},
        "pattern": _patterns.parse_pattern(str(pattern)),
    }
    if method in _methods.STRUCTURED:
        return _jobs.make_value(_jobs.Shrink, **fields)
    return _jobs.make_value(_jobs.Prune, **fields)


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
    with _machine.in_use():
        yield from _execute.run(job, _context(job, folder))


def _context(job: Job, folder: Path) -> _execute.Context:
    return _execute.Context.of(
        job,
        folder,
        HostPolicy.from_environment(),
        _stores.Store(),
        place=_placing.place,
        walk=_placing.choose_walk,
    )


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


def allocation(
    model: str = "smollm2-135m",
    allocation: str | dict[str, Any] = "uniform",
    pattern: str | float = 0.5,
    **fields: Any,
) -> LayerShares:
    """What an allocation gives each layer of a model, in this process and without pruning it.

    allocation: a name (loss, alphapruning, owl, atp, by-hand ...) or {"name": "owl", option: value}. Other fields as in
    `plan`, such as `calibration={"text": "wiki-sample"}`. Its `start` is where an allocation by hand may begin.
    """
    job = plan(model, "wanda", pattern, {"allocation": allocation}, **fields)
    assert isinstance(job, _jobs.Prune)  # wanda removes no structures
    question = _looks.AllocationQuestion.of(job)
    with TemporaryDirectory(prefix="apt-allocation-") as folder:
        context = _context(question.job, Path(folder))
        steps = _allocating.layer_shares(question, context)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: LayerShares = end.value
                return found


def evaluate(
    model: str,
    text: str | Sequence[str | dict[str, Any]] = "wikipedia",
    on_event: Watch | None = None,
    revision: str | None = None,
    **fields: Any,
) -> Evaluated | tuple[Evaluated, ...]:
    """Perplexity of a catalogue model, folder, Hub id or `run:<id>`, with its 95% interval.

    Of one text its result, of a list of texts a tuple of results. Other fields as in `apt_core.jobs.Evaluate`, and
    those of its evaluations, such as `samples` and `length`, for every text; a text with windows of its own is
    {"text": "wikipedia", "samples": 40}.
    """
    texts = [text] if isinstance(text, str) else list(text)
    windows = {name: fields.pop(name) for name in _jobs.Evaluation.model_fields if name in fields}
    wanted = [windows | (one if isinstance(one, dict) else {"text": one}) for one in texts]
    reference = {"id": model, "revision": revision}
    job = _jobs.make_job("evaluate", model=reference, evaluation=wanted, **fields)
    found = _record_of(job, None, on_event).evaluated
    return found[0] if isinstance(text, str) else found


def recover(
    run: str,
    method: str | dict[str, Any] = "spp",
    out: str | Path | None = None,
    on_event: Watch | None = None,
    **fields: Any,
) -> RunRecord:
    """Train what a run of the store pruned, every zero kept, in this process; the checkpoint goes to `out`/checkpoint.

    method: a name (spp, lora, partial, distill) or {"name": "spp", option: value}. Other fields as in
    `apt_core.jobs.Recover`, such as `optimiser_steps=500` and `training={"text": "wiki-sample"}`.
    """
    reference = {"id": f"run:{run.removeprefix('run:')}"}
    return _record_of(_jobs.make_job("recover", model=reference, method=method, **fields), out, on_event)


def search(
    model: str = "smollm2-135m",
    keep: float = 0.8,
    minutes: float = 10,
    out: str | Path | None = None,
    on_event: Watch | None = None,
    revision: str | None = None,
    **fields: Any,
) -> RunRecord:
    """Try many smaller models that keep this share of the blocks' weights, in this process; the best goes to
    `out`/checkpoint.

    Other fields as in `apt_core.jobs.Search`, such as `generations=20`, `seed=1` and `evolution={"population": 24}`.
    """
    reference = {"id": model, "revision": revision}
    job = _jobs.make_job("search", model=reference, keep=keep, minutes=minutes, **fields)
    return _record_of(job, out, on_event)


def compare(runs: Sequence[str]) -> Comparison:
    """Stored runs beside one another, by their ids or as all of a study by its own: fields that differ, perplexities,
    every run paired with the first, what each kept of the dense model and what it saves.

    The same value as `apt-studio compare --json` prints. Raises BadInput with one sentence.
    """
    store = _stores.Store()
    records = _comparing.runs_to_compare(_naming.all_of_a_study(store, runs), store.get)
    return _comparing.compare(records, HostPolicy.from_environment())


def law(runs: str | Sequence[str], within: float | None = None, seed: int = 0) -> Laws:
    """The power law of stored recoveries, or of those that a study or a run led to, by their ids: one for each way to
    prune and to train, with 95% intervals of its constants.

    within: how many tokens until perplexity is at most this many times the dense one. Raises BadInput with a sentence.
    """
    store = _stores.Store()
    named = _naming.named_runs(store, runs if isinstance(runs, str) else ",".join(runs))
    records = _law_runs.recoveries_of(named, store.made_from)
    return _laws.laws_of(records, within, seed=seed, known=_exporting.reader_of(store))


def _record_of(job: Job, out: str | Path | None, on_event: Watch | None) -> RunRecord:
    record = _records.RunRecord(
        id="in-process", job=job, created_at=time(), started_at=time(), status="running"
    )
    for seq, event in enumerate(run(job, out)):
        record = _records.fold(record, [_events.Stamped(seq=seq, at=time(), event=event)])
        if on_event:
            on_event(event)
    return record


def load_model(model: str, device: str = "auto", dtype: str = "auto") -> tuple[Any, Any]:
    """(model, tokenizer) of a catalogue name, a local folder or a Hub id, ready to compute."""
    used = _hardware.choose_device(device)
    wanted = _jobs.make_value(_jobs.ModelRef, id=model)
    folder = _sources.resolve(wanted, policy=HostPolicy.from_environment())
    return _loading.load(folder, _hardware.choose_dtype(used, dtype), used)


def generate(dense: str, pruned: str, prompt: str, **question: Any) -> Answered:
    """What two models (names, folders or Hub ids) write to one prompt with common random numbers."""
    asked = _jobs.make_value(_questions.Question, prompt=prompt, **question)
    (left, tokenizer), (right, _) = load_model(dense), load_model(pruned)
    *_, answer = _duels.duel(left, right, tokenizer, asked)
    assert isinstance(answer, _questions.Answered)  # the last word of a duel
    return answer
