"""The layer-wise target of every one-shot pruner."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.component import Target


class OwnInputs(Target):
    """The outputs of the layer's own dense weights on the inputs that the pruned model gives it; all count alike."""

    name: ClassVar[str] = "own-inputs"
    title: ClassVar[str] = "Own inputs"
    source: ClassVar[str] = ""
    summary: ClassVar[str] = "The layer's own weights, on the inputs that the pruned model gives it."
    place: ClassVar[int] = 0
