"""The models in the cache: size, last use, and a button that removes one after a second press."""

from __future__ import annotations

from datetime import UTC, datetime

from apt_core.base.words import DASH, size
from apt_core.models.fetch.cache_list import CachedModel
from apt_core.ui.views.html import Markup, join

_HEADS = ("Model", "From", "Size", "Last used", "What to do")


def models_table(models: list[CachedModel], needed: set[str]) -> Markup:
    """needed: names of models that a run waits for or works with; they cannot be removed."""
    if not models:
        return Markup(
            '<p class="nothing">No model has been downloaded yet. What a run fetches stays here until you delete '
            "it; the bundled models take no room.</p>"
        )
    heads = join(
        Markup('<th scope="col" class="{}">{}</th>').format("n" if head == "Size" else "", head)
        for head in _HEADS
    )
    rows = join(_row(model, model.name in needed) for model in models)
    total = size(sum(model.n_bytes for model in models))
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="Models"><table class="runs models">'
        '<caption class="sr">Models on this machine, the largest first</caption><thead><tr>{}</tr></thead>'
        '<tbody>{}</tbody></table></div><p class="quiet in-all">{} in all.</p>'
    ).format(heads, rows, total)


def _row(model: CachedModel, needed: bool) -> Markup:
    return Markup(
        '<tr data-model="{name}"><th scope="row" data-head="Model">{name}{partly}</th>'
        '<td data-head="From">{source}</td>'
        '<td data-head="Size" class="n">{size}</td><td data-head="Last used">{used}</td>'
        '<td data-head="What to do" class="actions"><div>{actions}</div></td></tr>'
    ).format(
        name=model.name,
        partly="" if model.whole else Markup(" <small>partly downloaded</small>"),
        source=model.source,
        size=size(model.n_bytes),
        used=_moment(model.used_at),
        actions=Markup("<small>a run needs it</small>") if needed else _delete(model.name),
    )


def _delete(name: str) -> Markup:
    return Markup('{}<span class="confirm" hidden><span>Delete from this machine?</span>{}{}</span>').format(
        _button("ask-delete", "Delete", name),
        _button("delete", "Delete", name),
        _button("keep", "Keep", name),
    )


def _button(action: str, label: str, about: str) -> Markup:
    return Markup(
        '<button type="button" class="quiet-button" data-action="{}" aria-label="{}: {}">{}</button>'
    ).format(action, label, about, label)


def _moment(at: float | None) -> Markup:
    """UTC, which the page's script turns into the reader's own time."""
    if at is None:
        return Markup("{}").format(DASH)
    moment = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment.strftime("%Y-%m-%d %H:%M UTC")
    )
