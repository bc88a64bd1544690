"""Runs made up of events, and a store that holds them, for tests of the page. No process, no disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from apt_core import events as ev
from apt_core.base.errors import BadInput, UnknownRun
from apt_core.base.paths import ASSETS
from apt_core.base.policy import LOCAL
from apt_core.events.records import RunRecord, fold
from apt_core.execute.context import Made
from apt_core.jobs import Prune, make_job
from apt_core.jobs.study import Study
from apt_core.runs.executors.local import LocalExecutor
from apt_core.runs.hiding import Hidden
from apt_core.runs.labels import NONE, Labels
from apt_core.runs.listing import listed
from apt_core.runs.owners import Visitor
from apt_core.runs.query import Entry
from apt_core.runs.reading import check_together

LAYERS = ("self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj")
SHAPES = {"self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "mlp.down_proj": (64, 176)}
NOW = 1_764_000_000.0
ANN = Visitor(names=("v:ann",), address="192.0.2.1")
BOB = Visitor(names=("v:bob",), address="192.0.2.2")


def a_recipe(**changes) -> Prune:
    return make_job("prune", **({"model": {"id": "tiny-random-llama"}, "method": "apt"} | changes))


def some_events(
    upto: str = "finished",
    owner: str = LOCAL,
    blocks: int = 2,
    dense: float = 20.0,
    pruned: float = 30.0,
    speed: tuple[float, float] = (50.0, 49.0),
    valid: bool = True,
) -> list[ev.Event]:
    """A run's events in their order; `upto`: queued, loaded, layers, pruned or finished."""
    events: list[ev.Event] = [ev.Queued(owner=owner)]
    if upto == "queued":
        return events
    events += [
        ev.Started(pid=4711),
        ev.ModelLoaded(
            title="Tiny <b>Llama</b>",
            architecture="LlamaForCausalLM",
            parameters=108_992,
            prunable=sum(r * c for r, c in SHAPES.values()) * blocks,
            blocks=blocks,
            layers=LAYERS,
            total_layers=len(LAYERS) * blocks,
            device="cpu",
            dtype="float32",
            hardware="a machine, 2 cores",
            versions={"torch": "2.13.0"},
        ),
        ev.Progress(stage="evaluate", subject="dense", done=1, total=2),
        evaluated("dense", dense),
        ev.Measured(subject="dense", tokens_per_second=speed[0], bytes_on_disk=438_000),
    ]
    if upto == "loaded":
        return events
    for block in range(blocks):
        events.append(ev.Progress(stage="prune", done=block, total=blocks))
        events += [
            layer(block, name, 0.01 * (block + 1) * (place + 1), valid) for place, name in enumerate(LAYERS)
        ]
    if upto == "layers":
        return events
    events += [
        evaluated("pruned", pruned),
        ev.Measured(subject="pruned", tokens_per_second=speed[1], bytes_on_disk=438_000),
    ]
    if upto == "pruned":
        return events
    removed = sum(event.removed for event in events if isinstance(event, ev.LayerPruned))
    seconds = {"load": 1.0, "prune": 2.0, "total": 9.0}
    return [
        *events,
        ev.Finished(
            sparsity=0.5,
            parameters=108_992,
            removed=removed,
            seconds=seconds,
            peak_rss_bytes=460_000_000,
            checkpoint="/somewhere/secret/checkpoint",
        ),
    ]


def evaluated(side: str, perplexity: float) -> ev.Evaluated:
    return ev.Evaluated(
        subject=side,
        perplexity=perplexity,
        windows=8,
        length=512,
        tokens=8 * 511,
        text="wikipedia",
        protocol="test-1",
        seconds=3.0,
    )


def layer(block: int, name: str, error: float, valid: bool = True) -> ev.LayerPruned:
    rows, columns = SHAPES[name]
    return ev.LayerPruned(
        block=block,
        layer=name,
        shape=(rows, columns),
        removed=rows * columns // 2,
        sparsity=0.5,
        relative_error=error,
        pattern_valid=valid,
        dampening=0.01,
        seconds=0.2,
    )


def stamped(events: list[ev.Event]) -> list[ev.Stamped]:
    return [ev.Stamped(seq=seq, at=NOW + seq, event=event) for seq, event in enumerate(events)]


def a_record(
    upto: str = "finished", run_id: str = "20261124-100000-abcd", recipe: Prune | None = None, **changes
):
    return fold(RunRecord(id=run_id, job=recipe or a_recipe()), stamped(some_events(upto, **changes)))


class FakeStore:
    """Runs by id; what the page needs of `runs.store.Store`."""

    root = Path("/nowhere")

    def __init__(self, checkpoint: Path | None = None):
        self.logs: dict[str, list[ev.Event]] = {}
        self.recipes: dict[str, Prune] = {}
        self.statuses: dict[str, str] = {}
        self.studies: dict[str, str] = {}  # run -> study
        self.weights = checkpoint
        self.cancelled: list[str] = []
        self.with_token: set[str] = set()
        self.labels: dict[str, Labels] = {}
        self.gone: dict[str, list[ev.Event]] = {}  # deleted a moment ago
        self.reads = 0

    def put(self, run_id: str, events: list[ev.Event], recipe: Prune | None = None) -> str:
        self.logs[run_id], self.recipes[run_id] = events, recipe or a_recipe()
        return run_id

    def get(self, run_id: str) -> RunRecord:
        self.reads += 1
        if run_id not in self.logs:
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
        empty = RunRecord(id=run_id, job=self.recipes[run_id], study=self.studies.get(run_id, ""))
        record = fold(empty, stamped(self.logs[run_id]))
        return record.model_copy(update={"status": self.statuses.get(run_id, record.status)})

    def list(self, limit: int = 200, owners: Sequence[str] | None = None) -> list[RunRecord]:
        found = [self.get(run_id) for run_id in reversed(self.logs)]
        return [run for run in found if owners is None or run.owner in owners][:limit]

    def study(self, study_id: str) -> Study:
        """A race of its runs; raises UnknownRun where there is none."""
        if study_id not in self.studies.values():
            raise UnknownRun(f"There is no study {study_id}.")
        runs = tuple(run_id for run_id, study in self.studies.items() if study == study_id)
        jobs = tuple(self.recipes[run_id] for run_id in runs)
        return Study(id=study_id, kind="race", created_at=NOW, jobs=jobs, runs=runs)

    def runs_of(self, study_id: str) -> list[RunRecord]:
        return [self.get(run_id) for run_id, study in self.studies.items() if study == study_id]

    def made_from(self, run_id: str) -> list[RunRecord]:
        return [self.get(one) for one, job in self.recipes.items() if job.model.run == run_id]

    def bounds_reached(self, run_id: str) -> dict[str, Any]:
        """Behind its last point, or its last generation."""
        record = self.get(run_id)
        state = {"step": record.steps[-1].step if record.steps else 0}
        return record.job.bounds_reached(
            state | {"generations": [one.model_dump() for one in record.generations]}
        )

    def came_with_token(self, run_id: str) -> bool:
        return run_id in self.with_token

    def live(self) -> list[RunRecord]:
        """Those that work, then those that wait in their order."""
        found = [record for record in map(self.get, self.logs) if record.live]
        return sorted(found, key=lambda record: record.status == "queued")

    def position(self, run_id: str) -> int | None:
        return 1 if self.get(run_id).status == "queued" else None

    def folder(self, run_id: str) -> Path:
        return Path("/nowhere") / run_id

    def checkpoint(self, run_id: str) -> Path | None:
        return self.weights if run_id in self.logs and self.get(run_id).status == "finished" else None

    def made_by(self, run_id: str) -> Made:
        return Made(ASSETS / "models" / "tiny-random-llama", f"what {self.get(run_id).id} made")

    def request_cancel(self, run_id: str) -> None:
        self.get(run_id)
        self.cancelled.append(run_id)

    def entries(self, owners: Sequence[str] | None = None) -> list[Entry]:
        found = self.list(10_000, owners)
        return [Entry(listed(record), self.labels_of(record.id)) for record in found]

    def bytes_of(self, owners: Sequence[str]) -> int:
        return 0

    def labels_of(self, run_id: str) -> Labels:
        return self.labels.get(run_id, NONE)

    def label(self, run_id: str, **changes) -> Labels:
        self.labels[self.get(run_id).id] = Labels(**self.labels_of(run_id).model_dump() | changes).bounded()
        return self.labels_of(run_id)

    def hide(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            if self.get(run_id).live:
                raise BadInput(f"Run {run_id} is still running; cancel it first.")
        for run_id in run_ids:
            self.gone[run_id] = self.logs.pop(run_id)

    def delete(self, run_id: str) -> None:
        del self.logs[self.get(run_id).id]

    def hidden(self, owners: Sequence[str] | None = None) -> list[Hidden]:
        own = [
            run_id
            for run_id, log in self.gone.items()
            if owners is None or getattr(log[0], "owner", "") in owners
        ]
        return [Hidden(run_id, int(time.time()), "", Path()) for run_id in own]

    def restore(self, run_ids: Sequence[str], owners: Sequence[str] | None = None) -> list[str]:
        back = [one.run for one in self.hidden(owners) if one.run in run_ids]
        self.logs |= {run_id: self.gone.pop(run_id) for run_id in back}
        return back


class FakeLauncher:
    executor = LocalExecutor()
    warm = False

    def __init__(self, store: FakeStore):
        self.store = store

    def submit(self, recipe: Prune, token: str | None = None, owner: str = LOCAL) -> str:
        self.token = token
        run_id = f"20261124-1200{len(self.store.logs):02}-0000"
        return self.store.put(run_id, [ev.Queued(owner=owner)], recipe)

    def submit_study(
        self, kind: str, jobs: list[Prune], token: str | None = None, owner: str = LOCAL
    ) -> Study:
        runs = tuple(self.submit(job, token, owner) for job in jobs)
        study = Study(
            id="20261124-120000-5555", kind=kind, created_at=NOW, owner=owner, jobs=tuple(jobs), runs=runs
        )
        self.store.studies |= dict.fromkeys(runs, study.id)
        return study

    def tick(self) -> None:
        """Nothing runs here."""

    def stop(self) -> None:
        """Nothing runs here."""


class FakeAsking:
    """One answer of a FakeReader, which counts how often it was stopped."""

    def __init__(self, reader: FakeReader):
        self._reader, self._replies = reader, iter(reader.replies)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._replies)

    def stop(self) -> None:
        self._reader.stopped += 1

    def close(self) -> None:
        """Nothing was opened."""


class FakeReader:
    """Answers with what it was given."""

    def __init__(self, *replies):
        self.replies = replies
        self.stopped = 0
        self.asked = []

    def ask(self, run_id, question, others=(), dense=True, asker=""):
        self.asked.append(
            (run_id, question, tuple(others)) if dense else (run_id, question, tuple(others), "alone")
        )
        return FakeAsking(self)

    def check(self, run_ids):
        check_together(run_ids)

    def score(self, run_id, question, tokens, others=(), asker=""):
        self.asked.append((run_id, question, tuple(others)))
        return FakeAsking(self)

    def close(self) -> None:
        """Nothing was opened."""
