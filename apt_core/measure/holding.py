"""Single layers of an allocation held at sparsities of their own; the others make up for them. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from apt_core.base.errors import BadInput
from apt_core.jobs import Prune
from apt_core.measure.layer_shares import LayerShares, given_by
from apt_core.methods.allocations.by_hand import ByHand
from apt_core.methods.component import DenseModel


def held(job: Prune, found: LayerShares, changes: Mapping[str, float | None]) -> tuple[Prune, LayerShares]:
    """The job with an allocation by hand that begins where its own was, and what that gives each layer.

    found: what the job's allocation gives; where it is by hand already, any of the same layers. changes: layers
    ("3:mlp.down_proj") and what each of them is to lose; None lets one go again. Raises BadInput with one sentence.
    """
    if not job.pattern.by_layer:
        raise BadInput(
            "An N:M pattern fixes what each layer loses; choose Unstructured, or let layers differ, and show it again."
        )
    now = job.method.allocation
    begun = now if isinstance(now, ByHand) else ByHand(start=found.start)
    by_hand = begun.holding(changes)
    layers = given_by(by_hand, DenseModel(found.sizes), job.pattern)
    method = job.method.model_copy(update={"allocation": by_hand})
    given = {"allocation": by_hand.title, "pattern": job.pattern.label, "layers": layers}
    return job.model_copy(update={"method": method}), found.model_copy(update=given)
