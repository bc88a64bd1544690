"""What the methods that change shapes have in common: named values whose fields are their options."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from apt_core.base.errors import BadOption
from apt_core.methods.component import SLOTS
from apt_core.methods.labelled import Labelled

THERE_AND_BACK = 5  # passes forwards, that once more, and back with the gradients of the weights


class Passes(NamedTuple):
    """Through the dense blocks: of all calibration windows, and of the first ones, on which gradients are taken."""

    whole: float
    first: float


class StructuredMethod(Labelled):
    """Removes whole structures, so that the checkpoint is smaller; `sparsity` is the share of the blocks that goes.

    removes: the structures, as a sentence names them. takes: how often a text goes through the model for that. leaves:
    what can load the rest. couples: whether they are heads and channels, which a model must have. advice: as of
    `Method`.
    """

    advice: ClassVar[str] = ""
    removes: ClassVar[str]
    takes: ClassVar[str] = "a pass over the text"
    leaves: ClassVar[str] = ""
    couples: ClassVar[bool] = False

    @property
    def reads_text(self) -> bool:
        """Whether calibration windows decide anything."""
        return True

    @property
    def takes_gradients(self) -> bool:
        """Whether gradients of the dense model's loss are taken."""
        return False

    def passes(self, blocks: int) -> Passes:
        """What it takes of a model with so many blocks."""
        return Passes(float(self.reads_text), THERE_AND_BACK if self.takes_gradients else 0)

    def check_removes(self, sparsity: float, blocks: int) -> None:
        """Raise BadOption where none of so many blocks would lose anything, or one would lose too much."""

    @classmethod
    def check_options(cls, options: dict[str, Any]) -> None:
        """Raise BadOption for the parts of a method that sets single weights to zero."""
        for option in options:
            slot = str(option).partition(".")[0]
            if slot in SLOTS:
                raise BadOption(
                    f"{cls.title} removes {cls.removes} and sets no single weight to zero, so it takes no {slot}; "
                    f"leave {slot} out."
                )
