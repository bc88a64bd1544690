"""What the methods that change shapes have in common: named values whose fields are their options."""

from __future__ import annotations

from typing import Any, ClassVar

from apt_core.base.errors import BadOption
from apt_core.methods.component import SLOTS
from apt_core.methods.labelled import Labelled


class StructuredMethod(Labelled):
    """Removes whole structures, so that the checkpoint is smaller; `sparsity` is the share of the blocks that goes.

    removes: the structures, as a sentence names them. advice: as of `Method`.
    """

    advice: ClassVar[str] = ""
    removes: ClassVar[str]

    @property
    def reads_text(self) -> bool:
        """Whether calibration windows decide anything."""
        return True

    @property
    def takes_gradients(self) -> bool:
        """Whether gradients of the dense model's loss are taken."""
        return False

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
