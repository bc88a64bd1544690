"""The colours of assets/ui/tokens.css, for figures. Light is the default; `swap` turns it dark."""

from __future__ import annotations

import re
from functools import lru_cache

from apt_core.base.paths import ASSETS

TOKENS_FILE = ASSETS / "ui" / "tokens.css"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif'


@lru_cache(maxsize=1)
def tokens() -> tuple[dict[str, str], dict[str, str]]:
    """({'page': '#FBFAF7', ...} light, the same names dark)."""
    css = TOKENS_FILE.read_text("utf-8")
    light, dark = css.split(".dark {", 1)
    return _colours(light), _colours(dark)


def colour(name: str, dark: bool = False) -> str:
    return tokens()[dark][name]


# Whose figures a mark shows -> its colour.
_SUBJECTS = {"before": "pruned", "recovered": "accent", "model": "accent", "start": "muted"}


def token_of(subject: str) -> str:
    """The colour of a subject: dense and pruned have their own everywhere."""
    return _SUBJECTS.get(subject, subject)


def swap() -> dict[str, str]:
    """Light hex -> dark hex: what the page replaces in a figure when it is dark."""
    light, dark = tokens()
    return {light[name]: dark[name] for name in light}


def _colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--apt-([\w-]+):\s*(#[0-9A-Fa-f]{6});", css))
