"""The JSON objects that `--json` prints, the page gives out to download and the API answers: composed once, here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apt_core import events as ev
from apt_core.base.policy import HostPolicy
from apt_core.events.records import RunRecord, summary
from apt_core.measure.questions import Answered, Question
from apt_core.reports.verdict import verdict_of
from apt_core.runs.labels import Labels

if TYPE_CHECKING:
    from apt_core.reports.document import Document

_LONG = ("layers", "allocated", "allocation", "generations", "warnings", "versions")


def run_json(record: RunRecord, policy: HostPolicy, checkpoint: str | None = None) -> dict[str, Any]:
    """A run with all its numbers. checkpoint: where its weights lie now, as this host may say it."""
    verdict = verdict_of(record)
    return summary(record, policy) | {
        "verdict": verdict.model_dump() if verdict else None,
        "checkpoint": checkpoint,
        "created_at": record.created_at,
    }


def asked_run_json(record: RunRecord, policy: HostPolicy, checkpoint: str | None = None) -> dict[str, Any]:
    """A run for whoever asked for it: the same, and why it did not finish once it has ended so."""
    error = None if record.live else error_of(record)
    return run_json(record, policy, checkpoint) | ({"error": error} if error else {})


def error_of(record: RunRecord) -> dict[str, str] | None:
    """Why an ended run did not finish, None when it did."""
    match record.status:
        case "finished":
            return None
        case "cancelled":
            return {"kind": "cancelled", "message": f"Run {record.id} was stopped; what it had done is kept."}
        case _ if record.live:
            return {"kind": "cancelled", "message": f"Run {record.id} is being stopped; it ends by itself."}
        case _:
            failure = record.failure or ev.Failed(
                reason="error", message=f"Run {record.id} ended without a message; see its log."
            )
            return {"kind": failure.reason, "message": failure.message}


def listed_run_json(record: RunRecord, policy: HostPolicy) -> dict[str, Any]:
    """A run in a list, without what is long."""
    short = {name: value for name, value in summary(record, policy).items() if name not in _LONG}
    return short | {"created_at": record.created_at}


def labels_json(labels: Labels) -> dict[str, Any]:
    """What people wrote on a run."""
    return {"labels": labels.model_dump(mode="json")}


def answer_json(run: str | None, pruned_folder: str | None, question: Question, answer: Answered) -> dict:
    """What both models wrote to a question."""
    asked = {"run": run, "pruned_folder": pruned_folder, "question": question.model_dump()}
    return asked | {"answer": answer.model_dump(exclude={"kind", "dense_ids", "others"})}


def report_json(file: str, document: Document, text: str) -> dict[str, Any]:
    """Which runs a report is of. file: where it is, or what it would be called."""
    runs = [section.run_id for section in document.sections]
    return {"report": file, "runs": runs, "bytes": len(text.encode())}
