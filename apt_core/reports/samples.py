"""Recorded runs that fill the charts before anything has been run, each with its conditions.

    python -m apt_core.reports.samples RUN_ID NAME [--title TITLE] [--look SENTENCE]

records a finished run of the store as assets/samples/NAME.json: its job, its events (without the
progress in between, process ids and paths).
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from apt_core import events as ev
from apt_core.base.errors import BadInput, PruneError
from apt_core.base.paths import ASSETS
from apt_core.base.values import Frozen
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import AnyJob, Job, read_job
from apt_core.measure.depth_values import BlocksAlone, Depth
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion
from apt_core.runs.kept_looks import recall
from apt_core.runs.store import Store

PREFIX = "sample-"
_log = logging.getLogger(__name__)


AlongDepth = Annotated[Depth | BlocksAlone, Field(discriminator="kind")]


class Sample(Frozen):
    """One file of assets/samples."""

    title: str
    conditions: str
    look: str = ""  # what to look at in it, in one sentence
    order: int = 100  # the lowest is the one that the empty page shows
    job: AnyJob
    events: tuple[ev.Stamped, ...]
    inside: tuple[AlongDepth, ...] = ()  # what had been found along its depth before it was recorded

    def record(self, name: str) -> RunRecord:
        empty = RunRecord(id=f"{PREFIX}{name}", job=self.job, conditions=self.conditions, look=self.look)
        return fold(empty, self.events)


@lru_cache(maxsize=4)
def load(folder: Path = ASSETS / "samples") -> dict[str, Sample]:
    """Every sample by its run id, the first one first; a file that does not fit is left out and logged."""
    found: dict[str, Sample] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[f"{PREFIX}{path.stem}"] = read_sample(path.read_text("utf-8"))
        except (ValueError, BadInput, OSError) as error:  # ValidationError and torn UTF-8 are ValueErrors
            _log.warning("The recorded sample %s cannot be read and is left out: %s", path.name, error)
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))


def read_sample(text: str) -> Sample:
    """A sample that any version recorded."""
    data = json.loads(text)
    if not isinstance(data, dict):
        raise BadInput("A recorded sample is a JSON object.")
    job, events = data.pop("recipe", None) or data.get("job"), data.get("events")
    if isinstance(job, dict):
        data["job"] = read_job(job)
    if isinstance(events, list):
        data["events"] = [ev.read_stamped(line) for line in events]
    return Sample.model_validate(data, extra="ignore")


def sample_of(
    record: RunRecord,
    log: list[ev.Stamped],
    title: str,
    order: int = 100,
    look: str = "",
    inside: tuple[AlongDepth, ...] = (),
) -> Sample:
    """A finished run as a sample. Raises BadInput for a run that did not finish."""
    if record.finished is None or record.model is None:
        raise BadInput(f"Run {record.id} has not finished; only finished runs can be recorded as samples.")
    kept = [
        line.model_copy(update={"event": _without_machine(line.event)}) for line in log if _tells(line.event)
    ]
    return Sample(
        title=title,
        conditions=_conditions(record),
        look=look,
        order=order,
        job=_without_paths(record.job),
        events=tuple(kept),
        inside=inside,
    )


def _tells(event: ev.Event) -> bool:
    return not isinstance(event, ev.Progress)


def _without_machine(event: ev.Event) -> ev.Event:
    """The event without what belongs to the machine on which it happened: pids, paths, build tags."""
    if isinstance(event, ev.Started):
        return event.model_copy(update={"pid": 0})
    if isinstance(event, ev.Finished):
        return event.model_copy(update={"checkpoint": ""})
    if isinstance(event, ev.Evaluated):
        return event.model_copy(update={"text": _name(event.text)})
    if isinstance(event, ev.ModelLoaded):
        plain = {name: version.split("+")[0] for name, version in event.versions.items()}
        return event.model_copy(update={"versions": plain})
    return event


def _without_paths(job: Job) -> Job:
    """The job with texts named by their files alone."""
    changed = {"evaluation": tuple(_named(one) for one in job.evaluation)}
    if calibration := getattr(job, "calibration", None):
        changed["calibration"] = _named(calibration)
    return job.model_copy(update=changed)


def _named(part: Any) -> Any:
    return part.model_copy(update={"text": _name(part.text)})


def _name(text: str) -> str:
    return Path(text).name if "/" in text and not text.startswith("hub:") else text


def _along_depth(run_id: str, folder: Path) -> tuple[AlongDepth, ...]:
    """What was found along the run's depth, as its folder keeps it."""
    found = (recall(folder, question(run=run_id)) for question in (DepthQuestion, BlocksAloneQuestion))
    return tuple(
        one.model_copy(update={"text": _name(one.text)})
        for one in found
        if isinstance(one, Depth | BlocksAlone)
    )


def _conditions(record: RunRecord) -> str:
    model = record.model
    if model is None:
        raise BadInput(f"Run {record.id} never loaded its model, so there is nothing to show.")
    day = datetime.fromtimestamp(record.ended_at or 0, UTC).strftime("%d %B %Y").lstrip("0")
    torch = model.versions.get("torch", "").split("+")[0]
    with_torch = f", torch {torch}" if torch else ""
    return f"Recorded on {day} by this program on {model.hardware}, {model.dtype}{with_torch}."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m apt_core.reports.samples", description="Record a run as a sample."
    )
    parser.add_argument("run_id")
    parser.add_argument("name", help="lower case letters, digits and -")
    parser.add_argument("--title", default="")
    parser.add_argument("--look", default="", help="what to look at in it, in one sentence")
    parser.add_argument("--order", type=int, default=100, help="the lowest is shown on the empty page")
    options = parser.parse_args(arguments)
    try:
        path = record_sample(options.run_id, options.name, options.title, options.order, look=options.look)
    except PruneError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(path)
    return 0


def record_sample(
    run_id: str,
    name: str,
    title: str = "",
    order: int = 100,
    folder: Path = ASSETS / "samples",
    store: Any = None,
    look: str = "",
) -> Path:
    """Write assets/samples/NAME.json from a run of the store; returns the file."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise BadInput(f"'{name}' is no name for a sample; use lower case letters, digits and -.")
    store = store or Store()
    record = store.get(run_id)
    sample = sample_of(
        record,
        store.events_since(run_id, -1),
        title or record.job.label,
        order,
        look,
        _along_depth(run_id, store.folder(run_id)),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(
        json.dumps(sample.model_dump(mode="json"), indent=None, separators=(",", ":")) + "\n", "utf-8"
    )
    return path


if __name__ == "__main__":
    raise SystemExit(main())
