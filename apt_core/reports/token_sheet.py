"""Token probabilities of the dense answer, as programs read them."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.measure.questions import Scored
from apt_core.plots.chart import Sheet


def token_sheet(scored: Scored, names: Sequence[str]) -> Sheet:
    """One row a token. names: of the pruned models; KL in nats."""
    each = [head for name in names for head in (f"probability {name}", f"kl {name}")]
    rows = (
        (
            place,
            token.text,
            token.dense,
            *(value for pair in zip(token.pruned, token.kl, strict=True) for value in pair),
        )
        for place, token in enumerate(scored.tokens, start=1)
    )
    return Sheet(("position", "token", "probability dense", *each), tuple(rows))
