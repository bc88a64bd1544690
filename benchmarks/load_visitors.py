"""What the visitors of `benchmarks.load` are: one tab of one browser each, and what they know of the page."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

Role = Literal["watch", "start", "ask"]

WORDS_OF = re.compile(
    r'class=\\*"line bad\\*"[^>]*>(.*?)</p>'
)  # a sentence of refusal, in the JSON of an event
CARD_OF = re.compile(r'class=\\*"says-no\\*"[^>]*>(.*?)</p>')
# What this host says to whoever wants more than their share of it (`runs/usage.py`, `runs/reading.py`, the door).
_QUOTA = re.compile(
    r"the most at the same time|as many as may on this page|may wait on this page|of them are left"
    r"|questions and presses wait already|question is still being answered"
)
_PROMPTS = ("Why is the sky blue?", "Write three lines about autumn.", "What is the capital of France?")
_STATUS_OF = re.compile(r'"run": ?"[^"]+", ?"status": ?"(\w+)"')
_READS_SECONDS = 3.0  # an answer, before the next question


@dataclass
class Found:
    """What all visitors have seen together: seconds by kind of request, what went wrong, what a quota refused."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def took(self, kind: str, begun: float) -> None:
        self.seconds.setdefault(kind, []).append(time.perf_counter() - begun)

    def said(self, what: str, sentence: str) -> None:
        """A sentence in place of what was asked for: a quota's is an answer, any other an error."""
        (self.refused if _QUOTA.search(sentence) else self.errors)[f"{what}: {sentence[:120]}"] += 1


class Page:
    """What a visitor's browser knows of the page: its components and the events that they trigger."""

    def __init__(self, config: dict[str, Any]):
        self._components = {each["id"]: each for each in config["components"]}
        self._events = config["dependencies"]

    def event(self, trigger: str, elem_id: str | None = None) -> tuple[int, list[Any]]:
        """(number, first inputs) of the event that `trigger` of the component called `elem_id` (the page: None) has."""
        event = self._event(trigger, elem_id)
        return event["id"], [self._value(each) for each in event["inputs"]]

    def filled(self, trigger: str, elem_id: str, **values: Any) -> tuple[int, list[Any]]:
        """The same, with other values of the inputs that are called so (`seen`, `prompt`)."""
        event = self._event(trigger, elem_id)
        named = {name.replace("_", "-"): value for name, value in values.items()}
        inputs = [named.pop(self._called(each), self._value(each)) for each in event["inputs"]]
        if named:
            raise LookupError(f"{trigger} of {elem_id} has no input {', '.join(named)}")
        return event["id"], inputs

    def _event(self, trigger: str, elem_id: str | None) -> dict[str, Any]:
        for number, event in enumerate(self._events):
            for target, name in event["targets"]:
                if name == trigger and self._called(target) == elem_id and event["backend_fn"]:
                    return {"id": number} | event
        raise LookupError(f"the page has no {trigger} of {elem_id}")

    def _called(self, component: int | None) -> Any:
        known = self._components.get(component)
        return known["props"].get("elem_id") if known else None

    def _value(self, component: int) -> Any:
        return self._components[component]["props"].get("value")


class Visitor:
    """One tab of one browser. shown: the run that it asks for what is new; asked: the one whose models it asks."""

    def __init__(self, client: httpx.AsyncClient, page: Page, shown: str, asked: str, found: Found):
        self._client, self._page, self._shown, self._asked = client, page, shown, asked
        self._seen: dict[str, Any] = {"run": shown, "status": "finished", "seq": 0}  # of it: at first little
        self._found = found
        self._session = uuid.uuid4().hex[:12]
        self._questions = 0

    async def stay(self, until: float, role: Role) -> None:
        """From the address to leaving; whatever goes wrong is counted."""
        try:
            await self._open()
            await self.press("event", *self._page.event("load"))
            if role == "start":
                self._judge("start", await self.press("event", *self._page.event("click", "prune")), CARD_OF)
            asking = [self._ask_until(until)] if role == "ask" else []
            await asyncio.gather(self._poll_until(until), *asking)
        except Exception as error:
            self._found.errors[f"{type(error).__name__}: {str(error)[:80]}"] += 1

    async def _open(self) -> None:
        """The document, which holds Gradio's configuration; what it links to is cached for ever."""
        begun = time.perf_counter()
        answer = await self._client.get("/")
        answer.raise_for_status()
        self._found.took("page", begun)

    async def press(self, kind: str, number: int, inputs: list[Any]) -> str:
        """From the press to the last answer of the queue; returns all that it said."""
        begun, session, said = time.perf_counter(), f"{self._session}{kind}", list[str]()
        asked = {"data": inputs, "fn_index": number, "session_hash": session, "event_data": None}
        joined = await self._client.post("/gradio_api/queue/join", json=asked)
        if joined.status_code == 429:
            self._found.said(kind, joined.text)
            return ""
        joined.raise_for_status()
        stream = self._client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session})
        async with stream as answer:
            async for line in answer.aiter_lines():
                said.append(line)
                if '"process_completed"' in line:
                    self._found.took(kind, begun)
                    if not json.loads(line.removeprefix("data:")).get("success", True):
                        self._found.errors[f"{kind}: an event failed"] += 1
                    break
        return "\n".join(said)

    async def _ask_until(self, until: float) -> None:
        """One question after the other, by the page's own button."""
        while time.monotonic() < until:
            prompt = _PROMPTS[self._questions % len(_PROMPTS)]
            seen = {"run": self._asked, "status": "finished", "seq": 0}
            event = self._page.filled("click", "ask", seen=seen, prompt=prompt)
            self._judge("ask", await self.press("ask", *event), WORDS_OF)
            self._questions += 1
            await asyncio.sleep(_READS_SECONDS)

    def _judge(self, what: str, said: str, refusal: re.Pattern[str]) -> None:
        for sentence in dict.fromkeys(refusal.findall(said)):
            self._found.said(what, sentence)

    async def _poll_until(self, until: float) -> None:
        while time.monotonic() < until:
            await self.poll()
            await asyncio.sleep(1.0)

    async def watch(self, run: str, every: float) -> None:
        """Show this run until it has ended, as the page's script does: ask what is new, and bring everything again when
        the run has turned."""
        self._shown, self._seen = run, {"run": run, "status": "queued", "seq": -1}
        while self._seen["status"] in ("queued", "running", "stopping"):
            if await self.poll():
                said = await self.press("event", *self._page.filled("click", "seen", seen=self._seen))
                if (turned := _STATUS_OF.search(said)) is None:
                    raise LookupError(f"the page says no more of {run}")
                self._seen["status"] = turned[1]
            await asyncio.sleep(every)

    async def poll(self) -> bool:
        """Whether the run has turned: it is in another state than this tab shows."""
        begun = time.perf_counter()
        answer = await self._client.get(f"/studio/runs/{self._shown}/live", params=self._seen)
        answer.raise_for_status()
        self._found.took("poll", begun)
        news = answer.json()
        self._seen = news.get("seen", self._seen)
        return bool(news["turned"])
