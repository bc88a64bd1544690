"""Named values that stand alone: tables call them by their title and by the options that differ from the defaults."""

from __future__ import annotations

from typing import Any

from apt_core.methods.component import Named


class Labelled(Named):
    """A named value whose fields, with defaults, are all of its options."""

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


def _said(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else str(value)
