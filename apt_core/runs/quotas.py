"""How many runs may wait: on a public host the queue is everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.base.values import Frozen

if TYPE_CHECKING:
    from apt_core.runs.store import Store

_PUBLIC_WAITING = 24


class Quotas(Frozen):
    """waiting: runs in the queue at the same time, of all visitors together; None for no limit."""

    waiting: int | None = None

    @classmethod
    def of(cls, policy: HostPolicy, environment: Mapping[str, str]) -> Quotas:
        """APT_MAX_WAITING: 24 on a public host, no limit on a person's own machine. Raises BadInput."""
        text = environment.get("APT_MAX_WAITING", "")
        if not text:
            return cls(waiting=_PUBLIC_WAITING if policy.public else None)
        if not (text.isdecimal() and len(text) < 10 and int(text) > 0):
            raise BadInput(f"APT_MAX_WAITING is {text[:20]!r}; give a whole number above 0, such as 24.")
        return cls(waiting=int(text))

    def check(self, store: Store, more: int) -> None:
        """Raise BadInput, before anything is queued, where so many more runs would be too many."""
        if self.waiting is None:
            return
        waiting = sum(record.status == "queued" for record in store.live())
        if waiting + more > self.waiting:
            room = max(0, self.waiting - waiting)
            already = "One run waits" if waiting == 1 else f"{waiting} runs wait"
            raise BadInput(
                f"{already} already, and {self.waiting} may wait on this page at the same time; "
                f"{room or 'no'} more fit just now. Try again when some have ended."
            )
