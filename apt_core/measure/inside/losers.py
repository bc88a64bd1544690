"""The rows (neurons) and heads of a layer that lost most."""

from __future__ import annotations

from torch import Tensor

from apt_core.families.heads import HeadsOf
from apt_core.measure.inside.values import Loser, Losers

_SHOWN = 10


def lost_by_row(dense: Tensor, stored: Tensor, gram: Tensor | None) -> tuple[Tensor, Tensor]:
    """(lost, whole) of each row: energies of the output where `gram` [in, in] is known, else squared weights."""
    gap = stored - dense
    if gram is None:
        return gap.square().sum(dim=1), dense.square().sum(dim=1)
    return ((gap @ gram) * gap).sum(dim=1).clamp_min(0), ((dense @ gram) * dense).sum(dim=1).clamp_min(0)


def neurons(dense: Tensor, stored: Tensor, pruned: Tensor, gram: Tensor | None) -> Losers:
    lost, whole = lost_by_row(dense, stored, gram)
    return _worst("rows", "rows", 1, pruned.float().mean(dim=1), _ratio(lost, whole), gram is not None)


def heads(dense: Tensor, stored: Tensor, pruned: Tensor, gram: Tensor | None, where: HeadsOf) -> Losers:
    """A head of rows by the energy of its outputs; a head of columns by what its inputs alone would lose."""
    if where.along == "rows":
        lost, whole = (
            part.reshape(where.number, where.each).sum(dim=1) for part in lost_by_row(dense, stored, gram)
        )
        removed = pruned.float().reshape(where.number, -1).mean(dim=1)
    else:
        lost, whole = _by_columns(dense, stored, gram, where)
        removed = pruned.float().reshape(len(pruned), where.number, where.each).mean(dim=(0, 2))
    return _worst("heads", where.along, where.each, removed, _ratio(lost, whole), gram is not None)


def _by_columns(dense: Tensor, stored: Tensor, gram: Tensor | None, where: HeadsOf) -> tuple[Tensor, Tensor]:
    """Each head's own columns as a layer of their own."""
    lost, whole = dense.new_zeros(where.number), dense.new_zeros(where.number)
    for head in range(where.number):
        part = slice(head * where.each, (head + 1) * where.each)
        own = None if gram is None else gram[part, part]
        energies = lost_by_row(dense[:, part], stored[:, part], own)
        lost[head], whole[head] = energies[0].sum(), energies[1].sum()
    return lost, whole


def _ratio(lost: Tensor, whole: Tensor) -> Tensor:
    """0 where there was nothing to lose."""
    return (lost / whole.clamp_min(1e-30)).masked_fill(whole <= 0, 0)


def _worst(what: str, along: str, each: int, removed: Tensor, lost: Tensor, by_output: bool) -> Losers:
    order = lost.argsort(descending=True, stable=True)[:_SHOWN].tolist()
    return Losers.model_validate(
        {
            "what": what,
            "along": along,
            "count": len(lost),
            "each": each,
            "by_output": by_output,
            "worst": [Loser(index=i, removed=float(removed[i]), lost=float(lost[i])) for i in order],
            "median": float(lost.median()),
        }
    )
