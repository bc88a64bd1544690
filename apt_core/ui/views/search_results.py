"""What a search of the Hub found: a compact list from which one is chosen, or a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.words import sentence, short_count
from apt_core.models.fetch.hub_search import Found
from apt_core.ui.views.html import Markup, join

SEARCH_BOX = (
    '<details><summary class="beside-label">Search the Hub</summary>'
    '<input id="hub-query" type="search" role="combobox" autocomplete="off" spellcheck="false" maxlength="100" '
    'placeholder="Part of a name, such as qwen2.5" aria-label="Search the Hub" aria-autocomplete="list" '
    'aria-expanded="false" aria-controls="hub-found">'
    "<p>An id such as owner/name can be typed above, too.</p></details>"
)


def search_results(found: Sequence[Found]) -> Markup:
    """One option each: its name, then what helps to choose."""
    if not found:
        return search_says("No safetensors model that writes text has this in its name.")
    options = join(
        Markup('<li role="option" id="hub-option-{}" data-model="{}" aria-selected="false">{}</li>').format(
            place, each.id, _option(each)
        )
        for place, each in enumerate(found)
    )
    return Markup('<ul id="hub-found" role="listbox" aria-label="Models of the Hub">{}</ul>').format(options)


def search_says(text: str) -> Markup:
    return Markup('<p class="says" role="status">{}</p>').format(sentence(text))


def _option(found: Found) -> Markup:
    owner, _, name = found.id.partition("/")
    parts = [
        f"{short_count(found.parameters)} parameters" if found.parameters else "",
        found.license or "licence not stated",
        f"{short_count(found.downloads)} downloads" if found.downloads is not None else "",
    ]
    gated = Markup(' <span class="gated">gated</span>') if found.gated else ""
    return Markup('<span class="name"><small>{}/</small>{}{}</span><small>{}</small>').format(
        owner, name, gated, " · ".join(part for part in parts if part)
    )
