"""What the page shows before its first event, written into its components.

Gradio brings every output of an event into the page one after the other, changed or not; what is part of the page
itself costs nothing of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradio.components import Component


def write(updates: Mapping[Any, Any]) -> None:
    """What a handler answers (component -> value or `gr.update`), as the first look of these components."""
    for component, update in updates.items():
        changes = _changes(update)
        arguments = component.constructor_args | changes
        fresh = component.__class__(**arguments, render=False)  # Gradio's own checks and conversions
        for name in changes:
            setattr(component, name, getattr(fresh, name))
        component.constructor_args.update(changes)  # from these Gradio makes a session's own copy


def _changes(update: Any) -> dict[str, Any]:
    if isinstance(update, Component):
        raise TypeError("Answer with gr.update: a component that is made here would be drawn.")
    if not (isinstance(update, dict) and update.get("__type__") == "update"):
        return {"value": update}
    return {name: value for name, value in update.items() if name != "__type__"}
