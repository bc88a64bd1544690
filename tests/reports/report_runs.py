"""Runs for tests of reports: those of the page's tests, and a hostile one."""

from __future__ import annotations

from ui_helpers import a_recipe, a_record, evaluated

from apt_core import events as ev
from apt_core.events.records import RunRecord
from apt_core.methods import METHODS
from apt_core.reports.document import Document, document_of

NASTY = '</script><script>alert(1)</script><img src="http://evil.example/x" onerror=alert(1)>`|*_#{{x}}'


def a_race(*methods: str, study: str = "20261124-090000-5555") -> list[RunRecord]:
    """Finished runs of one stored race."""
    made = []
    for place, method in enumerate(methods or list(METHODS)[:3]):
        run_id = f"20261124-0900{place:02}-0000"
        record = a_record(run_id=run_id, recipe=a_recipe(method=method), pruned=30.0 + place)
        made.append(record.model_copy(update={"study": study}))
    return made


def hostile() -> RunRecord:
    """A run in which everything that comes from outside tries to be HTML, a table cell, a heading."""
    recipe = a_recipe(
        model={"id": f"/models/{NASTY}", "revision": NASTY[:60]}, calibration={"text": f"/texts/{NASTY}"}
    )
    record = a_record(recipe=recipe)
    assert record.model is not None
    model = record.model.model_copy(
        update={"title": NASTY, "hardware": NASTY, "architecture": NASTY, "versions": {NASTY: NASTY}}
    )
    layers = tuple(layer.model_copy(update={"layer": f"mlp.{NASTY}"}) for layer in record.layers)
    text = evaluated("dense", 20.0).model_copy(update={"text": NASTY, "protocol": NASTY})
    changes = {
        "model": model,
        "layers": layers,
        "evaluated": (text, text.model_copy(update={"subject": "pruned", "perplexity": 30.0})),
        "warnings": (ev.Warned(message=NASTY),),
        "failure": ev.Failed(reason="x", message=NASTY),
    }
    return record.model_copy(update=changes)


def title_of(record: RunRecord) -> str:
    assert record.model is not None
    return record.model.title


def the_report(*records: RunRecord) -> Document:
    return document_of(records, lambda record: record.model.title if record.model else "Tiny")
