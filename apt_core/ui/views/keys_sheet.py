"""The sheet of keys and notices: which single keys do what, and how the page says that a long run has ended."""

from __future__ import annotations

from apt_core.ui.views.html import Markup, join

# Key -> what it does; `assets/ui/comfort.js` has one action for each.
KEYS: dict[str, str] = {
    "?": "this sheet",
    "1 to 9": "the tabs, in their order",
    "p": "to the button that prunes",
    "m": "to the list of models",
    "/": "search the runs",
    "j": "the next run of the list",
    "k": "the one before",
    "x": "tick this run",
    "l": "label this run",
    "d": "light or dark",
    "Escape": "close what is open",
}
_NOTICES = {
    "notify": "A notification of the browser (it will ask you)",
    "sound": "A short sound",
    "keys": "Single keys, as listed above",
}


def keys_sheet() -> Markup:
    """A dialog, closed; the title of the tab says that a run has ended in any case."""
    keys = join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(
            join(
                Markup("<kbd>{}</kbd>").format(part) if part != "to" else Markup(" to ")
                for part in key.split()
            ),
            does,
        )
        for key, does in KEYS.items()
    )
    notices = {name: words for name, words in _NOTICES.items() if name != "keys"}
    return Markup(
        '<dialog class="sheet" id="keys-sheet" aria-labelledby="keys-title"><form method="dialog">'
        '<h3 id="keys-title">Keys</h3><dl class="keys">{}</dl>{}'
        "<h3>When a run ends while you are elsewhere</h3>"
        '<p class="quiet">The title of the browser tab says so. It can also be announced by:</p>{}'
        '<p class="quiet" role="status" data-said></p>'
        '<div class="sheet-buttons"><button class="quiet-button strong" value="close">Close</button></div>'
        "</form></dialog>"
    ).format(keys, _tick("keys", _NOTICES["keys"]), join(_tick(*each) for each in notices.items()))


def _tick(name: str, words: str) -> Markup:
    return Markup('<label class="tick"><input type="checkbox" data-setting="{}">{}</label>').format(
        name, words
    )
