"""The functions of `apt_core`: prune, recover, search and measure, and read what is stored.

Every function that computes takes the keywords of the command line (`samples=8` is `--samples 8`) and, as nested
groups, the fields of its job (`calibration={"samples": 8}`). What it computes is stored like a run of the page, so that
`recover`, `compare`, `law` and the page find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import TYPE_CHECKING, Any, cast

from apt_core.base.errors import BadInput, error_of_kind
from apt_core.base.lazy import lazy
from apt_core.base.policy import LOCAL, HostPolicy
from apt_core.events import Evaluated, Event, Stamped
from apt_core.events.records import RunRecord
from apt_core.jobs import (
    Evaluate,
    Evaluation,
    Job,
    ModelRef,
    Prune,
    Recover,
    Search,
    make_value,
)
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.library.asking import evaluations, fields_of, plan, ready
from apt_core.library.progress import Watch, watched
from apt_core.library.results import Comparison, Laws, LayerShares, Record
from apt_core.reports.writing import copy_of_a_run, free_folder
from apt_core.runs.store import Store

if TYPE_CHECKING:
    import apt_core.base.hardware as hardware
    import apt_core.cli.options as asking
    import apt_core.estimate.machine as machine
    import apt_core.estimate.placing as placing
    import apt_core.execute as execute
    import apt_core.execute.allocation as allocating
    import apt_core.measure.generate as duels
    import apt_core.measure.inside.questions as looks
    import apt_core.measure.questions as questions
    import apt_core.models.fetch.sources as sources
    import apt_core.models.load.loading as loading
    import apt_core.reports.export as exporting
    import apt_core.runs.in_process as in_process
    import apt_core.runs.launcher as launching
    import apt_core.studies.compare as comparing
    import apt_core.studies.law_runs as law_runs
    import apt_core.studies.named_runs as naming
    import apt_core.studies.scaling_law as laws
    from apt_core.measure.questions import Answered
else:
    hardware, asking = lazy("apt_core.base.hardware"), lazy("apt_core.cli.options")
    machine, placing = lazy("apt_core.estimate.machine"), lazy("apt_core.estimate.placing")
    execute, allocating = lazy("apt_core.execute"), lazy("apt_core.execute.allocation")
    duels, questions = lazy("apt_core.measure.generate"), lazy("apt_core.measure.questions")
    looks = lazy("apt_core.measure.inside.questions")
    sources, loading = lazy("apt_core.models.fetch.sources"), lazy("apt_core.models.load.loading")
    exporting = lazy("apt_core.reports.export")
    in_process, launching = lazy("apt_core.runs.in_process"), lazy("apt_core.runs.launcher")
    comparing, law_runs = lazy("apt_core.studies.compare"), lazy("apt_core.studies.law_runs")
    naming, laws = lazy("apt_core.studies.named_runs"), lazy("apt_core.studies.scaling_law")

# ---- what is done


def run(job: Job, folder: str | Path | None = None) -> Iterator[Event]:
    """Do a job in this process, yielding every event (`apt_core.events`); nothing is stored.

    folder: where `checkpoint/` (what the job makes) goes; a temporary folder when None, gone at the end.
    """
    if folder is not None:
        yield from _run(job, Path(folder))
        return
    with TemporaryDirectory(prefix="apt-run-") as temporary:
        for event in _run(job, Path(temporary)):
            yield event.model_copy(update={"checkpoint": ""}) if event.kind == "finished" else event


def _run(job: Job, folder: Path) -> Iterator[Event]:
    with machine.in_use():
        yield from execute.run(job, _context(job, folder))


def _context(job: Job, folder: Path) -> Any:
    return execute.Context.of(
        job,
        folder,
        HostPolicy.from_environment(),
        Store(),
        place=placing.place,
        walk=placing.choose_walk,
    )


def prune(
    model: str = "smollm2-135m",
    method: str = "apt",
    pattern: str | float | None = None,
    out: str | Path | None = None,
    on_event: Watch | None = None,
    *,
    store: bool = True,
    worker: bool = False,
    progress: bool | None = None,
    **fields: Any,
) -> Record:
    """Prune a model, measure it, and return the record of the run; other keywords as in `plan`.

        record = apt_core.prune("smollm2-135m", method="wanda", sparsity=0.5, samples=8, out="pruned")

    out: a new or empty folder that the pruned model is copied into. store: whether the run is stored, as a run of the
    page is; a run that is not keeps its model in `out` alone. worker: in a process of its own, which waits its turn,
    instead of in this one. progress: a bar; by default in terminals and notebooks. on_event: gets every event.
    Raises `BadInput` for what cannot work, another `PruneError` where the run failed.
    """
    asked = plan(model, method, pattern, **fields)
    return _recorded(asked, out, on_event, store=store, worker=worker, progress=progress)


def recover(
    run: str | RunRecord,
    method: str | dict[str, Any] = "spp",
    out: str | Path | None = None,
    on_event: Watch | None = None,
    *,
    store: bool = True,
    worker: bool = False,
    progress: bool | None = None,
    **fields: Any,
) -> Record:
    """Train what a stored run pruned, every zero kept, and measure it.

    run: its record or id. method: a name (spp, lora, partial, distill) or {"name": "spp", option: value}. Other
    keywords as in `prune`, and as the flags of `apt-studio recover` (steps=200, text="wiki-sample") or the fields of
    `apt_core.jobs.Recover`.
    """
    reference = {"id": f"{RUN_PREFIX}{_id_of(run)}"}
    asked = make_value(Recover, model=reference, method=method, **fields_of(Recover, fields))
    return _recorded(asked, out, on_event, store=store, worker=worker, progress=progress)


def search(
    model: str = "smollm2-135m",
    keep: float = 0.8,
    minutes: float = 10,
    out: str | Path | None = None,
    on_event: Watch | None = None,
    revision: str | None = None,
    *,
    store: bool = True,
    worker: bool = False,
    progress: bool | None = None,
    **fields: Any,
) -> Record:
    """Try many smaller models that keep this share of the blocks' weights; make the best and measure it.

    Other keywords as in `prune`, and as the flags of `apt-studio search` (generations=20, population=24) or the fields
    of `apt_core.jobs.Search`.
    """
    reference = {"id": model, "revision": revision}
    fields = fields_of(Search, fields)
    asked = make_value(Search, model=reference, keep=keep, minutes=minutes, **fields)
    return _recorded(asked, out, on_event, store=store, worker=worker, progress=progress)


def evaluate(
    model: str | RunRecord,
    text: str | Sequence[str | dict[str, Any]] = "wikipedia",
    on_event: Watch | None = None,
    revision: str | None = None,
    *,
    store: bool = True,
    worker: bool = False,
    progress: bool | None = None,
    **fields: Any,
) -> Evaluated | tuple[Evaluated, ...]:
    """Perplexity of a catalogue model, folder, Hub id, `run:<id>` or what a record's run made, with its 95% interval.

    Of one text its result, of a list of texts a tuple of results; `samples`, `length` and `skip` are of every text, and
    a text with windows of its own is {"text": "wikipedia", "samples": 40}. Other keywords as in `prune`, and the fields
    of `apt_core.jobs.Evaluate`.
    """
    windows = {name: fields.pop(name) for name in Evaluation.model_fields if name in fields}
    wanted = evaluations([text] if isinstance(text, str) else text, windows)
    made = not isinstance(model, str) or model.startswith(RUN_PREFIX)
    name = f"{RUN_PREFIX}{_id_of(model)}" if made else model
    fields = fields_of(Evaluate, fields)
    asked = make_value(Evaluate, model={"id": name, "revision": revision}, evaluation=wanted, **fields)
    found = _recorded(asked, None, on_event, store=store, worker=worker, progress=progress).evaluated
    return found[0] if isinstance(text, str) else found


def _id_of(run: str | RunRecord) -> str:
    """Of a record, an id, the beginning of one, or `latest`."""
    return naming.full_id(Store(), run.removeprefix(RUN_PREFIX)) if isinstance(run, str) else run.id


def _recorded(
    asked: Job,
    out: str | Path | None,
    on_event: Watch | None,
    *,
    store: bool,
    worker: bool,
    progress: bool | None,
) -> Record:
    """The record of a job that is done now; raises the error that it failed with."""
    if worker and not store:
        raise BadInput("A run in a process of its own is stored; leave store=False or worker=True out.")
    place = None if out is None else free_folder(out, "out")
    runs, policy = Store(), HostPolicy.from_environment()
    job = ready(asked, runs, policy)
    if not store:
        return _not_stored(job, place, on_event, progress)
    run_id = runs.create(job)
    with watched(RunRecord(id=run_id, job=job), on_event, progress) as watch:
        if worker or not in_process.do(runs, run_id, policy, watch):
            _followed(runs, run_id, watch)
    record = runs.get(run_id)
    if record.failure is not None:
        raise error_of_kind(record.failure.reason, record.failure.message)
    made = runs.checkpoint(run_id)
    if made is not None and place is not None:
        made = copy_of_a_run(made, place, record)
    return Record.of(record, made)


def _followed(runs: Store, run_id: str, watch: Watch) -> None:
    """Until a worker has done the run; an interrupt cancels it."""
    launcher = launching.Launcher(runs, only=LOCAL)

    def seen(stamped: Stamped) -> None:
        watch(stamped.event)

    try:
        launcher.wait(run_id, on_event=seen)
    except KeyboardInterrupt:
        launcher.stop_run(run_id, seconds=2.0)
        raise
    finally:
        launcher.stop()


def _not_stored(job: Job, out: Path | None, on_event: Watch | None, progress: bool | None) -> Record:
    """Nothing stays but the model in `out`."""
    record = RunRecord(id="in-process", job=job, created_at=time(), started_at=time(), status="running")
    where = out.parent if out is not None else None
    with TemporaryDirectory(prefix=".apt-run-", dir=where) as folder:
        with watched(record, on_event, progress) as watch:
            for event in _run(job, Path(folder)):
                watch(event)
        made = Path(folder) / "checkpoint"
        record = watch.record
        if out is not None and made.is_dir():
            out = copy_of_a_run(made, out, record)
    finished = record.finished and record.finished.model_copy(update={"checkpoint": str(out or "")})
    return Record.of(record.model_copy(update={"finished": finished}), out)


# ---- what is stored, and questions without a run


def record(run: str) -> Record:
    """A stored run by its id, the beginning of one, or 'latest'; raises UnknownRun."""
    runs, run_id = Store(), _id_of(run)
    return Record.of(runs.get(run_id), runs.checkpoint(run_id))


def records(limit: int = 30) -> list[Record]:
    """The newest stored runs, the newest first."""
    runs = Store()
    return [Record.of(one, runs.checkpoint(one.id)) for one in runs.list(limit)]


def compare(runs: str | Sequence[str | RunRecord]) -> Comparison:
    """Stored runs beside one another, by their records or ids or as all of a study by its id: fields that differ,
    perplexities, every run paired with the first, what each kept of the dense model and what it saves.

    The same value as `apt-studio compare --json` prints. Raises BadInput with one sentence.
    """
    stored = Store()
    named = naming.all_of_a_study(stored, list(map(_id_of, [runs] if isinstance(runs, str) else runs)))
    members = comparing.runs_to_compare(named, stored.get)
    return Comparison.of(comparing.compare(members, HostPolicy.from_environment()), members)


def law(runs: str | Sequence[str | RunRecord], within: float | None = None, seed: int = 0) -> Laws:
    """The power law of stored recoveries, or of those that a study or a run led to, by their records or ids: one for
    each way to prune and to train, with 95% intervals of its constants.

    within: how many tokens until perplexity is at most this many times the dense one. Raises BadInput with a sentence.
    """
    stored = Store()
    wanted = runs.split(",") if isinstance(runs, str) else runs
    named = naming.named_runs(stored, ",".join(map(_id_of, wanted)))
    recoveries = law_runs.recoveries_of(named, stored.made_from)
    found = laws.laws_of(recoveries, within, seed=seed, known=exporting.reader_of(stored))
    return Laws.of(found, recoveries)


def allocation(
    model: str = "smollm2-135m",
    allocation: str | dict[str, Any] = "uniform",
    pattern: str | float | None = None,
    **fields: Any,
) -> LayerShares:
    """What an allocation gives each layer of a model, in this process and without pruning it.

    allocation: a name (loss, alphapruning, owl, atp, by-hand ...) or {"name": "owl", option: value}. pattern: 0.5 where
    neither it nor `sparsity` is given. Other keywords as in `plan`. Its `start` is where an allocation by hand may
    begin.
    """
    if pattern is None and "sparsity" not in fields:
        pattern = 0.5
    job = plan(model, "wanda", pattern, {"allocation": allocation}, **fields)
    question = looks.AllocationQuestion.of(cast(Prune, job))  # wanda removes no structures
    with TemporaryDirectory(prefix="apt-allocation-") as folder:
        context = _context(question.job, Path(folder))
        steps = allocating.layer_shares(question, context)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return LayerShares.of(end.value)


def load_model(model: str, device: str = "auto", dtype: str = "auto") -> tuple[Any, Any]:
    """(model, tokenizer) of a catalogue name, a local folder or a Hub id, ready to compute."""
    used = hardware.choose_device(device)
    wanted = make_value(ModelRef, id=model)
    folder = sources.resolve(wanted, policy=HostPolicy.from_environment())
    return loading.load(folder, hardware.choose_dtype(used, dtype), used)


def generate(dense: str, pruned: str, prompt: str, **question: Any) -> Answered:
    """What two models (names, folders or Hub ids) write to one prompt with common random numbers."""
    asked = make_value(questions.Question, prompt=prompt, **question)
    (left, tokenizer), (right, _) = load_model(dense), load_model(pruned)
    *_, answer = duels.duel(left, right, tokenizer, asked)
    assert isinstance(answer, questions.Answered)  # the last event of a duel
    return answer
