"""How a model stands on its way to the Hub, in one place of the page."""

from __future__ import annotations

from apt_core.base.words import duration, size
from apt_core.ui.pushes import Push
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.html import Markup
from apt_core.ui.views.progress import progress_bar


def push_state(push: Push | None, now: float) -> Markup:
    """Nothing for a model that nobody pushed."""
    if push is None:
        return Markup("")
    if push.live:
        return _on_its_way(push, now - push.begun)
    return sentence_card(push.failure or f"The model is at {push.address}.")


def exists_card(repo: str) -> Markup:
    """The question before anything is put over what is there."""
    return sentence_card(
        f"{repo} exists already on the Hub. A new commit would replace its files of the same names; what is there now "
        "stays in its history."
    )


def _on_its_way(push: Push, seconds: float) -> Markup:
    how_far = push.how_far
    file = f": {how_far.file}" if how_far else ""
    done, total = (how_far.done, how_far.total) if how_far else (0, 0)
    of_all = f"{size(done)} of {size(total)} are there, " if total else ""
    return Markup(
        '<section class="status" aria-label="Push to the Hub"><p class="where" role="status" aria-live="polite">'
        'Pushing to {}{}</p>{}<p class="when">{}{}; it goes on when this page is closed.</p></section>'
    ).format(push.repo, file, progress_bar(done / max(total, 1)), of_all, duration(seconds))
