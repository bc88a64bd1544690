"""Stored runs with losses of every window, made without pruning, for tests of comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from apt_core import events as ev
from apt_core.base.policy import LOCAL
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import Job, make_job
from apt_core.measure.interval import perplexity_interval
from apt_core.runs.store import Store
from tests.ui.ui_helpers import a_recipe, some_events, stamped

FIRST, OTHER, THIRD = (f"20261124-10000{place}-abcd" for place in range(3))
DENSE = (2.9, 3.1, 2.7, 3.3, 3.0, 2.8)


def evaluated(subject: str, losses: Sequence[float], text: str = "wikipedia", /, **changes) -> ev.Evaluated:
    low, high = perplexity_interval(losses)
    fields = {
        "subject": subject,
        "perplexity": math.exp(statistics.fmean(losses)),
        "low": low,
        "high": high,
        "losses": tuple(losses),
        "windows": len(losses),
        "length": 512,
        "tokens": len(losses) * 511,
        "text": text,
        "protocol": "joined-v1",
        "seconds": 1.0,
    }
    return ev.Evaluated(**fields | changes)


def events_of(*measured: ev.Evaluated, layer_factor: float = 1.0, blocks: int = 2) -> list[ev.Event]:
    """Of a run that pruned: `measured` in place of the two evaluations of `some_events`."""
    dense = [one for one in measured if one.subject != "pruned"]
    pruned = [one for one in measured if one.subject == "pruned"]
    found: list[ev.Event] = []
    for event in some_events(blocks=blocks):
        if isinstance(event, ev.Evaluated):
            found += dense if event.subject == "dense" else pruned
        elif isinstance(event, ev.LayerPruned):
            found.append(event.model_copy(update={"relative_error": event.relative_error * layer_factor}))
        else:
            found.append(event)
    return found


def job_of(texts: Sequence[str] = ("wikipedia",), skip: int = 0, samples: int = 6, **changes) -> Job:
    wanted = [{"text": text, "skip": skip, "samples": samples, "length": 512} for text in texts]
    return a_recipe(**{"evaluation": wanted} | changes)


def pruned_run(
    run_id: str = FIRST,
    losses: Sequence[float] = tuple(loss + 0.2 for loss in DENSE),
    dense: Sequence[float] = DENSE,
    layer_factor: float = 1.0,
    measured: dict | None = None,
    **job,
) -> RunRecord:
    """A run on one text; `measured`: changes of both evaluations, `job`: of what was asked for."""
    events = events_of(
        evaluated("dense", dense, **(measured or {})),
        evaluated("pruned", losses, **(measured or {})),
        layer_factor=layer_factor,
    )
    return fold(RunRecord(id=run_id, job=job_of(**job)), stamped(events))


def measured_run(run_id: str = OTHER, losses: Sequence[float] = DENSE, **changes) -> RunRecord:
    """A run that only measures a model of the same shape."""
    wanted = {"text": "wikipedia", "samples": len(losses), "length": 512}
    job = make_job("evaluate", model={"id": "tiny-random-llama"}, evaluation=[wanted])
    started = [one for one in some_events("queued")] + some_events("loaded")[1:3]
    finished = ev.Finished(seconds={"total": 1.0}, peak_rss_bytes=1)
    events = [*started, evaluated("model", losses, **changes), finished]
    return fold(RunRecord(id=run_id, job=job), stamped(events))


def put(
    store: Store,
    *losses: float,
    old: bool = False,
    layer_factor: float = 1.0,
    owner: str = LOCAL,
    **job,
) -> str:
    """A finished run in the store, with these losses on its windows."""
    kept = {"losses": ()} if old else {}
    run_id = store.create(job_of(**job), owner=owner)
    measured = evaluated("dense", DENSE, **kept), evaluated("pruned", losses, **kept)
    for event in events_of(*measured, layer_factor=layer_factor)[1:]:
        store.append(run_id, event)
    with store.index.write() as rows:
        rows.update(run_id, status="finished")
    return run_id


def worse(by: float) -> list[float]:
    """Losses of a model that is worse than the dense one, on every window a little more."""
    return [loss + by + 0.001 * place for place, loss in enumerate(DENSE)]
