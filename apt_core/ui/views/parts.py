"""What a run looks like, as named parts: the same for the first look and for every later one. No gradio."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from apt_core.events.records import RunRecord
from apt_core.plots import layer_error, perplexity
from apt_core.plots import race as race_plot
from apt_core.studies.race import Race, race_of, whole_blocks
from apt_core.ui.studio import Studio
from apt_core.ui.views.downloads import downloads_block
from apt_core.ui.views.drawing import drawing
from apt_core.ui.views.drawn import Drawn
from apt_core.ui.views.headline import figures, headline
from apt_core.ui.views.progress import status_block
from apt_core.ui.views.race import race_note, race_table
from apt_core.ui.views.tables import layer_table, perplexity_table, provenance, size_panel, warnings_block

_drawn = Drawn()  # many tabs watch one run


class Seen(NamedTuple):
    """What a tab shows already. It travels with the tab, so that the server remembers nothing about it."""

    run: str = ""
    status: str = ""
    seq: int = -1
    layers: int = -1  # -1 also while the model is not known: its depth widens the empty axis
    measured: int = -1
    race: str = ""  # what its race looks like, as a fingerprint

    @classmethod
    def of(cls, record: RunRecord, race: Race | None = None) -> Seen:
        layers = len(record.layers) if record.model else -1
        return cls(record.id, record.status, record.last_seq, layers, _measured(record), _fingerprint(race))

    @classmethod
    def told(cls, value: Any) -> Seen:
        """Whatever a browser says it shows, as a Seen; what does not fit counts as not seen."""
        if not isinstance(value, Mapping):
            return cls()
        numbers = [_whole(value.get(name)) for name in ("seq", "layers", "measured")]

        def told(name: str, most: int) -> str:
            return str(value.get(name) or "")[:most]

        return cls(told("run", 100), told("status", 20), *numbers, told("race", 40))


def parts(studio: Studio, record: RunRecord, seen: Seen | None = None) -> dict[str, Any]:
    """Name of a part -> HTML or drawing, for everything that a tab which shows `seen` does not show yet."""
    race = race_of(record, studio.rivals(record))
    now = Seen.of(record, race)
    seen = seen if seen and (seen.run, seen.status) == (now.run, now.status) else Seen()
    new: dict[str, Any] = {}
    title = studio.title(record)
    if record.live or not seen.run:
        new["status"] = str(status_block(record, title, time.time(), studio.position(record)))
    if seen.seq != now.seq:
        new |= _words(studio, record, title)
    if seen.layers != now.layers or not seen.run:
        new |= _drawn.once(("layers", record.id, record.status, now.layers), lambda: _layers(record))
    rivals_moved = seen.race != now.race
    if rivals_moved or not seen.run:
        new |= _drawn.once(("race", record.id, now.race), lambda: _race(race))
    if seen.measured != now.measured or rivals_moved or not seen.run:
        others = perplexity.comparable(record, studio.known_runs()) if record.pruned else []
        beside = tuple((other.id, other.last_seq) for other in others)  # one may have finished since
        new |= _drawn.once(
            ("perplexity", record.id, record.status, now.measured, beside),
            lambda: _perplexity(record, others),
        )
        new["sizes"] = str(size_panel(record))
    return new


def live(studio: Studio, record: RunRecord, seen: Seen) -> dict[str, Any]:
    """The answer to a tab that asks what is new: `turned` when the run is in another state than it shows
    (then it asks for everything, buttons included), else the new parts and what they make it show."""
    if record.status != seen.status:
        return {"turned": True}
    now = shows(studio, record)  # before the parts: what moves in between is news the next time
    return {"turned": False, "parts": parts(studio, record, seen), "seen": now}


def shows(studio: Studio, record: RunRecord) -> dict[str, Any]:
    """What a tab shows now, and whether it should go on asking: while the run or a rival of its race goes on."""
    race = race_of(record, studio.rivals(record))
    live = record.live or (race is not None and race.live)
    return Seen.of(record, race)._asdict() | {"live": live}


def _words(studio: Studio, record: RunRecord, title: str) -> dict[str, str]:
    return {
        "headline": str(headline(record, title, studio.samples)),
        "figures": str(figures(record)),
        "warnings": str(warnings_block(record)),
        "downloads": str(downloads_block(record, studio.checkpoint(record.id) is not None)),
        "provenance": str(provenance(record)),
    }


def _layers(record: RunRecord) -> dict[str, Any]:
    return {
        "layer-chart": drawing(layer_error, record, "layers", "layers.csv"),
        "layer-table": str(layer_table(record)),
    }


def _perplexity(record: RunRecord, others: list[RunRecord]) -> dict[str, Any]:
    return {
        "perplexity-chart": drawing(perplexity, record, "perplexity", "results.csv", references=others),
        "perplexity-table": str(perplexity_table(record, others)),
    }


def _race(race: Race | None) -> dict[str, Any]:
    if race is None:
        return {"race-chart": None, "race-note": "", "race-table": ""}
    return {
        "race-chart": drawing(race_plot, race, "race", "race.csv"),
        "race-note": str(race_note(race)),
        "race-table": str(race_table(race)),
    }


def _fingerprint(race: Race | None) -> str:
    """Another one whenever the race looks different: a run came or went, turned, finished a block, was measured."""
    if race is None:
        return ""
    looks = [
        (member.id, member.status, len(whole_blocks(member)), _measured(member)) for member in race.members
    ]
    return hashlib.sha256(repr(looks).encode()).hexdigest()[:16]


def _measured(record: RunRecord) -> int:
    return sum(
        part is not None for part in (record.dense, record.pruned, record.dense_speed, record.pruned_speed)
    )


def _whole(value: Any) -> int:
    """From JSON or from an address; -1 for what is no whole number."""
    text = str(value)
    return int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() and len(text) < 12 else -1
