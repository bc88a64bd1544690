"""The dense answer, each token marked by how much likelier or less likely a pruned model finds it.

Never colour alone: the line under (less likely) or over (more likely) a token grows with the gap, its title says both
probabilities, and the table says all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.words import number, percent
from apt_core.measure.questions import Scored, TokenGap
from apt_core.ui.views.html import Markup, join, table

# Smallest gap of each band, and its name. Below the first a token is left as it is.
BANDS = ((0.1, "slight"), (0.3, "clear"), (0.6, "strong"))


def band(gap: float) -> str:
    """The class of a gap: '', 'less slight' ... 'more strong'."""
    name = next((name for least, name in reversed(BANDS) if abs(gap) >= least), "")
    return f"{'less' if gap > 0 else 'more'} {name}" if name else ""


def gaps_block(scored: Scored, names: Sequence[str], csv_address: str) -> Markup:
    """names: of the pruned models, in the order of the scores."""
    coloured = join(_coloured(scored, place, name) for place, name in enumerate(names))
    return Markup(
        '<div class="gaps"><h4>The dense answer, as the pruned model finds it</h4>{}{}'
        '<p class="quiet">Every model reads the dense answer and says how likely it finds each next token, at '
        "temperature 1 and without top-p. KL: nats that a pruned model loses against the dense one at that place.</p>"
        '<details class="folded"><summary>Token by token as a table</summary>{}</details>'
        '<p class="downloads"><span>Download</span><a href="{}" download>Token probabilities, CSV</a></p></div>'
    ).format(_legend(), coloured, _table(scored, names), csv_address)


def _legend() -> Markup:
    """What the lines mean, drawn with them."""
    less = join(
        Markup('<span class="token-gap less {}">{} or more</span>').format(name, percent(least))
        for least, name in BANDS
    )
    more = join(
        Markup('<span class="token-gap more {}">{} or more</span>').format(name, percent(least))
        for least, name in BANDS
    )
    return Markup(
        '<p class="gap-legend"><span>Probability that pruning takes from a token (line below):</span>{}'
        "<span>that it gives (line above):</span>{}</p>"
    ).format(less, more)


def summary(scored: Scored, place: int) -> str:
    """'Mean KL 0.412 nats a token over 96 tokens; 12 of them lose 30% or more of probability.'"""
    lost = sum(token.gap(place) >= BANDS[1][0] for token in scored.tokens)
    return (
        f"Mean KL {number(scored.mean_kl(place))} nats a token over {len(scored.tokens)} tokens; "
        f"{lost} of them lose {percent(BANDS[1][0])} or more of probability."
    )


def _coloured(scored: Scored, place: int, name: str) -> Markup:
    words = join(_token(token, place) for token in scored.tokens)
    return Markup(
        '<section aria-label="{}"><h5>{} <small>{}</small></h5><div class="said">{}</div></section>'
    ).format(f"The dense answer as {name} finds it", name, summary(scored, place), words)


def _token(token: TokenGap, place: int) -> Markup:
    if not token.text:
        return Markup("")
    found = band(token.gap(place))
    if not found:
        return Markup("{}").format(token.text)
    return Markup('<span class="token-gap {}" title="{}">{}</span>').format(
        found,
        f"dense {percent(token.dense)}, pruned {percent(token.pruned[place])}, KL {number(token.kl[place])} nats",
        token.text,
    )


def _table(scored: Scored, names: Sequence[str]) -> Markup:
    each = [head for name in names for head in (name, f"KL, {name}")]
    heads = ("Place", "Token", "Dense", *each)
    rows = [
        (
            str(place),
            _visible(token.text),
            percent(token.dense),
            *(
                said
                for probability, kl in zip(token.pruned, token.kl, strict=True)
                for said in (percent(probability), number(kl))
            ),
        )
        for place, token in enumerate(scored.tokens, start=1)
    ]
    caption = "Probability of each token of the dense answer, and KL of the next-token distributions in nats"
    return table(heads, rows, caption, "nt" + "n" * (1 + len(each)))


def _visible(text: str) -> str:
    """Spaces and line ends that can be seen."""
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "(part of the next)"
