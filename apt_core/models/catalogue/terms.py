"""Conditions of use that a person accepts once on this machine, before a model of the list is fetched.

What was accepted, and when, lies beside the runs: clearing the cache does not forget it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from apt_core.base.errors import TermsNotAccepted
from apt_core.base.paths import data_dir
from apt_core.models.catalogue.entries import CATALOGUE, Terms


def to_accept(name: str) -> Terms | None:
    """The conditions of a model that nobody has accepted on this machine yet; None when nothing is in the way."""
    terms = _terms_of(name)
    return terms if terms and _accepted(name) != terms.url else None


def check(name: str) -> None:
    """Raise TermsNotAccepted, in one sentence, while conditions are open."""
    if terms := to_accept(name):
        raise TermsNotAccepted(
            f"{CATALOGUE[name].title} may be used under the {terms.title} ({terms.url}): read them, then tick that "
            "you accept them on the page, or give --accept-terms on the command line."
        )


def accept(name: str) -> None:
    """Write down that the conditions of this model were accepted; nothing for a model without any.

    Raises OSError when it cannot be written.
    """
    terms = _terms_of(name)
    if terms is None or _accepted(name) == terms.url:
        return
    file = _file(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"url": terms.url, "at": datetime.now(UTC).isoformat(timespec="seconds")}))


def _terms_of(name: str) -> Terms | None:
    entry = CATALOGUE.get(name)
    return entry.terms if entry else None


def _accepted(name: str) -> str | None:
    """The address of the conditions that were accepted for this model."""
    try:
        accepted = json.loads(_file(name).read_text())
    except (OSError, ValueError):
        return None
    return accepted.get("url") if isinstance(accepted, dict) else None


def _file(name: str) -> Path:
    return data_dir() / "terms" / f"{name}.json"
