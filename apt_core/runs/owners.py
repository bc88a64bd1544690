"""Who a visitor is, and what they may do with a run, a study or an upload: decided here alone, for every view.

    a visitor                        their own    somebody else's, by its link    a recorded sample
    sees it in their list            yes          no                              yes
    reads, downloads, passes it on   yes          yes                             yes
    asks it                          yes          yes                             (it has no weights)
    stops, resumes, deletes,
    labels, builds on it,
    pushes it to the Hub             yes          no                              no

Packing weights is a command, thus of the person at the machine alone.
The person at their own machine, and whoever looks after a public host, may everything with every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from apt_core.base.errors import NotYours
from apt_core.base.policy import LOCAL
from apt_core.base.values import Frozen

SAMPLES = "samples"  # whose the recorded samples are: nobody's, so that nobody changes them


class Visitor(Frozen):
    """names: what they are known by here; the first owns whatever they make. None of them: a stranger, who may look.

    address: where they come from, for limits that hold whatever name somebody has. everything: whether they look after
    this host.
    """

    names: tuple[str, ...] = ()
    address: str = ""
    everything: bool = False

    @property
    def name(self) -> str:
        """Whose new things are; empty for a stranger."""
        return self.names[0] if self.names else ""

    @property
    def listed(self) -> tuple[str, ...] | None:
        """The owners whose runs their list shows; None for everybody's."""
        return None if self.everything else self.names


STRANGER = Visitor()  # nobody is known
HERE = Visitor(names=(LOCAL,), everything=True)  # the person at this machine


class Action(StrEnum):
    """What can be done with a run. The value completes 'only they can ... it'."""

    READ = "read"  # and download, and pass on
    ASK = "ask"
    STOP = "stop"
    RESUME = "resume"
    DELETE = "delete"  # and bring back
    LABEL = "label"
    BUILD_ON = "build on"  # prune or measure the model that it made
    PUSH = "push"  # the model that it made, into a namespace of the Hub that is the visitor's


BY_LINK = frozenset({Action.READ, Action.ASK})


def may(visitor: Visitor, action: Action, owner: str) -> bool:
    """Whether this visitor may do that with what this owner has."""
    if owner == SAMPLES:
        return action in BY_LINK
    return visitor.everything or owner in visitor.names or action in BY_LINK


def lists(visitor: Visitor, owner: str) -> bool:
    """Whether what this owner has stands in the visitor's own lists and beside their runs."""
    return visitor.listed is None or owner in visitor.listed


def check(visitor: Visitor, action: Action, owners: Sequence[str]) -> None:
    """Raise NotYours where this visitor may not do that with what each of these owners has."""
    if all(may(visitor, action, owner) for owner in owners):
        return
    if not visitor.names:
        raise NotYours(
            f"This page does not know you, so you cannot {action} any run: it needs its cookie; allow it and reload."
        )
    raise NotYours(
        f"That run belongs to another visitor; you can read and ask it, and only they can {action} it."
    )


def check_known(visitor: Visitor) -> None:
    """Raise NotYours for a stranger, whom nothing can belong to."""
    if not visitor.names:
        raise NotYours(
            "This page does not know you, so nothing you start could be yours: it needs its cookie; allow it and "
            "reload."
        )
