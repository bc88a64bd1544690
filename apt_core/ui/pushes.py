"""Pruned models on their way to the Hub, each in a thread of its own: the page can be closed meanwhile.

What is known of them is in the memory of this app, and an upload ends with it.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from apt_core.base.errors import BadInput, OverQuota, PruneError
from apt_core.base.out_of_room import is_disk_full
from apt_core.reports.push import Uploading, Watch

AT_ONCE = 3  # uploads of all visitors
_KEPT = 200  # uploads that are remembered
_NO_ROOM = "There is no room to unpack the model; free some space and try again."
_UNKNOWN = "The upload broke off; the log of the app says why."
_log = logging.getLogger(__name__)


class Push(NamedTuple):
    """One model on its way. how_far: None before the first file. address: where it is, once all of it is there;
    failure: why it is not."""

    repo: str
    begun: float
    how_far: Uploading | None = None
    address: str = ""
    failure: str = ""

    @property
    def live(self) -> bool:
        return not self.address and not self.failure


class Pushes:
    """Of all visitors, by the run whose model it is; the last of each run. Safe in threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Push] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, run_id: str) -> Push | None:
        with self._lock:
            return self._known.get(run_id)

    def check_room(self, run_id: str) -> None:
        """Raise BadInput while this model is on its way, OverQuota while as many as may are."""
        with self._lock:
            self._check_room(run_id)

    def _check_room(self, run_id: str) -> None:
        if (known := self._known.get(run_id)) and known.live:
            raise BadInput(f"This model is on its way to {known.repo} already; wait for its end.")
        if sum(push.live for push in self._known.values()) >= AT_ONCE:
            raise OverQuota(
                f"{AT_ONCE} models are on their way to the Hub, as many as may be; try again in a minute."
            )

    def begin(self, run_id: str, repo: str, work: Callable[[Watch], str]) -> None:
        """Do `work`, which gives the address of the model, in the background, in the caller's context: whose token it
        is, is kept there. Raises as `check_room`."""
        with self._lock:
            self._check_room(run_id)
            self._known[run_id] = Push(repo, time.time())
            self._known.move_to_end(run_id)
            self._forget_the_oldest()
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._work, run_id, work), name=f"push {run_id}", daemon=True
        ).start()

    def _forget_the_oldest(self) -> None:
        ended = [run_id for run_id, push in self._known.items() if not push.live]
        for run_id in ended[: max(0, len(self._known) - _KEPT)]:
            del self._known[run_id]

    def _work(self, run_id: str, work: Callable[[Watch], str]) -> None:
        try:
            self._now(run_id, address=work(lambda how_far: self._now(run_id, how_far=how_far)))
        except PruneError as error:
            self._now(run_id, failure=str(error))
        except Exception as error:
            _log.exception("The model of run %s could not be pushed", run_id)
            self._now(run_id, failure=_NO_ROOM if is_disk_full(error) else _UNKNOWN)

    def _now(self, run_id: str, **changes: object) -> None:
        with self._lock:
            self._known[run_id] = self._known[run_id]._replace(**changes)  # type: ignore[arg-type]
