"""What the methods that change shapes have in common: named values whose fields are their options."""

from __future__ import annotations

from typing import Any, ClassVar

from apt_core.base.errors import BadOption
from apt_core.methods.component import SLOTS, Named


class StructuredMethod(Named):
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

    def settings(self) -> dict[str, Any]:
        """Every option, by the name that `--set` takes."""
        return {option: getattr(self, option) for option in type(self).model_fields}

    def changes(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        usual = type(self)().settings()
        return {option: value for option, value in self.settings().items() if value != usual[option]}

    @property
    def label(self) -> str:
        """What tables call it: the title, and what differs from the defaults."""
        changed = ", ".join(f"{option} {_said(value)}" for option, value in self.changes().items())
        return f"{self.title} ({changed})" if changed else self.title

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


def _said(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else str(value)
