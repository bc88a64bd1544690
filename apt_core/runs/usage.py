"""What visitors have used of this host, checked against its quotas: every refusal is a sentence of its own.

Rates are counted by the `limits` package in the memory of this process: a restart forgets them, never the runs.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from limits import RateLimitItem, RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from apt_core.base import words
from apt_core.base.errors import OverQuota
from apt_core.measure.questions import LAST, Step
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.runs.owners import Visitor
from apt_core.runs.quotas import Quotas

if TYPE_CHECKING:
    from apt_core.runs.store import Store

_GB = 1e9
_MOST_ADDRESSES = 10_000


class Usage:
    """Safe in threads. Whoever looks after the host is not limited."""

    def __init__(self, quotas: Quotas):
        self.quotas = quotas
        self._rates = FixedWindowRateLimiter(MemoryStorage())
        self._starting = threading.Lock()
        self._lock = (
            threading.RLock()
        )  # whoever holds it may collect a `Counted` as garbage, which takes it too
        self._asking: Counter[str] = Counter()  # visitor -> questions that wait or are being answered
        self._addresses: OrderedDict[str, str] = OrderedDict()  # visitor -> where they came from last

    # --- runs ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def starting(self, visitor: Visitor, store: Store, more: int, later: int = 0) -> Iterator[None]:
        """So many runs are queued inside, one visitor after the other. later: how many may follow from their results,
        which count as started now. Raises OverQuota, before anything is queued, where they would be too many."""
        self._note_address(visitor)
        with self._starting:
            self._check_runs(visitor, store, more, later)
            yield
            if not visitor.everything:
                self._count("runs", visitor.name, self.quotas.runs_per_hour, more + later)
                self._count("address", visitor.address, self.quotas.address_runs_per_hour, more + later)

    def _check_runs(self, visitor: Visitor, store: Store, more: int, later: int) -> None:
        self._check_waiting(visitor, store, more)
        if visitor.everything:
            return
        hourly, shared = self.quotas.runs_per_hour, self.quotas.address_runs_per_hour
        all_of_them = _UP_TO.format(runs=more + later) if later else ""
        self._check_rate("runs", visitor.name, hourly, more + later, all_of_them + _TOO_MANY_RUNS)
        self._check_rate("address", visitor.address, shared, more + later, all_of_them + _TOO_MANY_HERE)
        self.check_disk(visitor, store)

    def _check_waiting(self, visitor: Visitor, store: Store, more: int) -> None:
        """How many may wait in all holds for everybody, as the queue has an end."""
        if self.quotas.waiting is None and self.quotas.waiting_each is None:
            return
        waiting = [record for record in store.live() if record.status == "queued"]
        _check_room("", len(waiting), self.quotas.waiting, more)
        if not visitor.everything:
            own = sum(record.owner in visitor.names for record in waiting)
            _check_room(" of yours", own, self.quotas.waiting_each, more)

    def check_disk(self, visitor: Visitor, store: Store) -> None:
        """Raise OverQuota where the runs of a visitor hold all that they may."""
        most = self.quotas.disk_gb
        if most is not None and (held := store.bytes_of(visitor.names)) >= most * _GB:
            raise OverQuota(
                f"Your runs hold {words.size(held)} of the {most:g} GB that one visitor may hold here; delete some."
            )

    def check_model(self, visitor: Visitor, facts: ModelFacts) -> None:
        """Raise OverQuota for a model that is too large for this host."""
        if visitor.everything:
            return
        n_bytes = max(facts.bytes_on_disk or 0, facts.download_bytes)
        if (most := self.quotas.model_gb) is not None and n_bytes > most * _GB:
            raise OverQuota(
                f"The weights of {facts.title} have {words.size(n_bytes)}, and {most:g} GB are the most on this page; "
                "choose a smaller model, or run the app on your own machine."
            )
        blocks = self.quotas.model_blocks
        if blocks is not None and (facts.blocks or 0) > blocks:
            raise OverQuota(
                f"{facts.title} has {facts.blocks:,} decoder blocks, and {blocks} are the most on this page; choose a "
                "model with fewer, or run the app on your own machine."
            )

    # --- questions -------------------------------------------------------------------------------

    def question(self, visitor: Visitor, asking: Callable[[], Any], tokens: int = 0, looks: int = 0) -> Any:
        """The replies of `asking()`, counted; its place is given back with the last of them. tokens: that it may
        generate; looks: how many looks into a run it is. Raises OverQuota."""
        if visitor.everything:
            return asking()
        self._note_address(visitor)
        self._check_rate("tokens", visitor.name, self.quotas.tokens_per_hour, tokens, _TOO_MANY_TOKENS)
        self._check_rate("looks", visitor.name, self.quotas.looks_per_hour, looks, _TOO_MANY_LOOKS)
        self._take_place(visitor)
        try:
            counted = Counted(asking(), lambda spent: self._answered(visitor, spent))
        except BaseException:
            self._answered(visitor, 0)
            raise
        self._count("looks", visitor.name, self.quotas.looks_per_hour, looks)
        return counted

    def look(self, visitor: Visitor) -> None:
        """Count one look that is answered at once. Raises OverQuota."""
        most = self.quotas.looks_per_hour
        self._check_rate("looks", visitor.name, most, 1, _TOO_MANY_LOOKS)
        self._count("looks", visitor.name, most, 1)

    @contextlib.contextmanager
    def pushing(self, visitor: Visitor) -> Iterator[None]:
        """A model of the visitor begins its way to the Hub inside. Raises OverQuota, before it does."""
        most = None if visitor.everything else self.quotas.pushes_per_hour
        self._check_rate("pushes", visitor.name, most, 1, _TOO_MANY_PUSHES)
        yield
        self._count("pushes", visitor.name, most, 1)

    def _take_place(self, visitor: Visitor) -> None:
        each, every = self.quotas.questions_each, self.quotas.questions
        with self._lock:
            if each is not None and self._asking[visitor.name] >= each:
                asked = "a question" if each == 1 else f"{each} questions"
                raise OverQuota(
                    f"You have {asked} waiting for an answer, the most at the same time; wait for one, or stop it."
                )
            if every is not None and self._asking.total() >= every:
                raise OverQuota(
                    f"{every} questions wait for an answer, as many as may on this page; ask again in a minute."
                )
            self._asking[visitor.name] += 1

    def _answered(self, visitor: Visitor, tokens: int) -> None:
        with self._lock:
            self._asking[visitor.name] -= 1
            if self._asking[visitor.name] <= 0:
                del self._asking[visitor.name]  # whoever never comes back holds no memory
        self._count("tokens", visitor.name, self.quotas.tokens_per_hour, tokens)

    # --- the door --------------------------------------------------------------------------------

    def takes_upload(self, address: str) -> bool:
        """Whether one more file may be sent from this address; it is counted."""
        most = self.quotas.uploads_per_hour
        return most is None or self._rates.hit(RateLimitItemPerHour(most), "uploads", address)

    def takes_visitor(self, address: str) -> bool:
        """Whether one more new visitor may come from this address; they are counted."""
        most = self.quotas.visitors_per_hour
        return most is None or self._rates.hit(RateLimitItemPerHour(most), "visitors", address)

    # --- what the host's owner sees --------------------------------------------------------------

    def address_of(self, name: str) -> str:
        """Where a visitor came from when they last started or asked something; empty where that is not known (any
        more): it is in the memory of this process alone."""
        return self._addresses.get(name, "")

    def _note_address(self, visitor: Visitor) -> None:
        if not visitor.name or not visitor.address or visitor.everything:
            return
        with self._lock:
            self._addresses[visitor.name] = visitor.address
            self._addresses.move_to_end(visitor.name)
            if len(self._addresses) > _MOST_ADDRESSES:
                self._addresses.popitem(last=False)

    def tokens_of(self, name: str) -> int:
        """Generated for a visitor within the current hour."""
        return self._spent("tokens", name, self.quotas.tokens_per_hour)

    def runs_of(self, name: str) -> int:
        """Started by a visitor within the current hour."""
        return self._spent("runs", name, self.quotas.runs_per_hour)

    def _spent(self, what: str, whom: str, most: int | None) -> int:
        return self._rates.storage.get(RateLimitItemPerHour(most).key_for(what, whom)) if most else 0

    def _check_rate(self, what: str, whom: str, most: int | None, more: int, sentence: str) -> None:
        if most is None or more <= 0:
            return
        item: RateLimitItem = RateLimitItemPerHour(most)
        left = self._rates.get_window_stats(item, what, whom)
        if more > left.remaining:
            wait = words.duration(max(1.0, left.reset_time - time.time()))
            raise OverQuota(sentence.format(most=most, left=max(0, left.remaining), wait=wait))

    def _count(self, what: str, whom: str, most: int | None, more: int) -> None:
        if most is not None and more > 0:
            self._rates.hit(RateLimitItemPerHour(most), what, whom, cost=more)


_UP_TO = "This search may take up to {runs} runs, which all count from its start. "
_TOO_MANY_RUNS = (
    "You may start {most} runs an hour on this page, and {left} of them are left; try again in {wait}, or with "
    "fewer."
)
_TOO_MANY_HERE = (
    "From your address {most} runs may be started an hour, and {left} of them are left; try again in {wait}."
)
_TOO_MANY_TOKENS = (
    "{most:,} tokens may be generated for you in an hour, and {left:,} of them are left; ask for fewer, or again in "
    "{wait}."
)

_TOO_MANY_LOOKS = (
    "Looks inside runs, fits of the law and GGUF files: you have {most} an hour on this page, and {left} of them are "
    "left; try again in {wait}."
)

_TOO_MANY_PUSHES = (
    "You may push {most} models to the Hub an hour from this page, and {left} of them are left; try again "
    "in {wait}."
)


def _check_room(whose: str, waiting: int, most: int | None, more: int) -> None:
    if most is None or waiting + more <= most:
        return
    room = max(0, most - waiting)
    already = f"One run{whose} waits" if waiting == 1 else f"{waiting} runs{whose} wait"
    raise OverQuota(
        f"{already} already, and {most} may wait on this page at the same time; "
        f"{room or 'no'} more fit just now. Try again when some have ended."
    )


class Counted:
    """The replies to one question, which may be stopped and closed; `end` hears once how many tokens came."""

    def __init__(self, asking: Any, end: Callable[[int], None]):
        self._over = threading.Lock()  # taken for good at the end
        self._asking, self._end, self._tokens = asking, end, 0
        self._replies = iter(asking)

    def __iter__(self) -> Counted:
        return self

    def __next__(self) -> Any:
        try:
            reply = next(self._replies)
        except BaseException:
            self._ended()
            raise
        if isinstance(reply, Step):
            self._tokens += sum(text is not None for text in reply.texts)
        if isinstance(reply, LAST):
            self._ended()
        return reply

    @property
    def before(self) -> int:
        """How many questions of the page are answered before this one."""
        return int(getattr(self._asking, "before", 0))

    def stop(self) -> None:
        """As the question's own; the last word still comes."""
        self._asking.stop()

    def close(self) -> None:
        """Nobody listens any more."""
        try:
            self._asking.close()
        finally:
            self._ended()

    def __del__(self) -> None:
        self._ended()  # whoever asked went away before the first word

    def _ended(self) -> None:
        if self._over.acquire(blocking=False):
            self._end(self._tokens)
