"""What the views share: explained terms, links of one site, folded text; `base.markup` for the rest."""

from __future__ import annotations

import re

from apt_core.base.markup import Markup, Row, facts, join, table
from apt_core.plots.layer_words import RELATIVE_ERROR
from apt_core.ui.docs import docs_url

__all__ = ["Markup", "Row", "facts", "folded", "join", "linked", "table", "term"]

# Terms that explain themselves on hover and on focus, in one sentence each.
TERMS = {
    "perplexity": "How surprised the model is by text it has not seen: about the number of words it wavers "
    "between at each step. Lower is better.",
    "calibration": "Sample text that is run through the model so that the method can see which weights matter.",
    "N:M": "Of every M neighbouring weights in a row, N stay; 2:4 is the pattern that NVIDIA's sparse tensor "
    "cores can use.",
    "relative error": RELATIVE_ERROR,
    "packed": "As a format would store it that keeps a bit for every weight and the values that are not zero.",
    "sparsity": "The share of the weights that is set to exactly zero.",
    "agreement": "How often both models predict the same next token; KL says how far "
    "their probabilities are apart, in nats a token, and is 0 where they are equal.",
    "windows": "Pieces of text of equal length; more and longer pieces make the measurement steadier and slower.",
    "top-p": "Only the most likely tokens that together reach this probability can be drawn.",
    "temperature": "How freely the next token is drawn; 0 always takes the most likely one.",
}


def linked(text: str, site: str) -> Markup:
    """The text with addresses of this site, and of no other, as links that open beside the page."""
    parts = re.split(rf"({re.escape(site)}/[A-Za-z0-9/._-]*[A-Za-z0-9])", text)
    return join(
        Markup('<a href="{}" target="_blank" rel="noopener">{}</a>').format(part, part)
        if place % 2
        else Markup("{}").format(part)
        for place, part in enumerate(parts)
    )


def term(name: str, shown: str | None = None, more: str = "") -> Markup:
    """`name` with a small ? whose explanation appears on hover and on keyboard focus; it leads to the paragraph of the
    documentation. more: said first."""
    says = f"{more} {TERMS[name]}".strip()
    return Markup(
        '<span class="term">{}<a class="help" href="{}" target="_blank" rel="noopener" aria-label="{}: {}">?'
        '<span class="tip" aria-hidden="true">{}</span></a></span>'
    ).format(shown or name, docs_url(name), name, says, says)


def folded(summary: str, text: str) -> Markup:
    """Preformatted text behind a line that opens it."""
    return Markup('<details class="folded"><summary>{}</summary><pre tabindex="0">{}</pre></details>').format(
        summary, text
    )
