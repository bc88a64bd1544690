"""One address cannot take all that the page can do at a time."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from apt_core.ui.door.under_way import UnderWay
from tests.ui.coroutines import to_its_end


class Page:
    """An application whose answers wait for `let_go`."""

    def __init__(self, most: int, documents: int = 2):
        self.let_go, self.come = asyncio.Event(), 0
        routes = [Route("/fault", self.fault), Route("/{path:path}", self.answer)]
        door = [Middleware(UnderWay, most=most, documents=documents)]
        self.app = Starlette(routes=routes, middleware=door)

    async def answer(self, _):
        self.come += 1
        await self.let_go.wait()
        return PlainTextResponse("page")

    async def fault(self, _):
        raise RuntimeError

    async def ask(self, address: str, path: str = "/") -> int:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return (await client.get(path)).status_code

    async def hold(self, address: str, many: int, path: str = "/") -> list[asyncio.Task[int]]:
        """Requests that are under way once this has returned."""
        wanted = self.come + many
        held = [asyncio.create_task(self.ask(address, path)) for _ in range(many)]
        while self.come < wanted:
            await asyncio.sleep(0)
        return held


def test_an_address_has_so_many_and_others_have_theirs():
    async def scene():
        page = Page(most=2)
        held = await page.hold("192.0.2.1", 2)
        assert await page.ask("192.0.2.1") == 429
        held += await page.hold("192.0.2.2", 2)
        page.let_go.set()
        assert await asyncio.gather(*held) == [200] * 4
        assert await page.ask("192.0.2.1") == 200, "the places are free again"

    to_its_end(scene())


@pytest.mark.parametrize("path", ["/fault"])
def test_a_request_that_fails_gives_its_place_back(path):
    async def scene():
        page = Page(most=1)
        assert [await page.ask("192.0.2.1", path) >= 400 for _ in range(3)] == [True] * 3
        page.let_go.set()
        assert await page.ask("192.0.2.1") == 200

    to_its_end(scene())


def test_one_who_leaves_gives_the_place_back():
    async def scene():
        page = Page(most=1)
        (held,) = await page.hold("192.0.2.1", 1)
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        page.let_go.set()
        assert await page.ask("192.0.2.1") == 200

    to_its_end(scene())


def test_a_household_of_the_newer_internet_is_one_address():
    async def scene():
        page = Page(most=1)
        held = await page.hold("2001:db8::1", 1)
        assert await page.ask("2001:db8::2") == 429
        page.let_go.set()
        await asyncio.gather(*held)

    to_its_end(scene())


@pytest.mark.parametrize(
    "path",
    [
        "/studio/runs/20261127-010203-abcd/report.html",
        "/studio/runs/20261127-010203-abcd/layers.csv",
        "/studio/studies/20261127-010203-abcd/report.md",
        "/studio/compare/compare.json",
    ],
)
def test_of_documents_an_address_has_few_at_a_time(path):
    """Thirty reports at once let everybody else wait for six seconds."""

    async def scene():
        page = Page(most=100, documents=2)
        held = await page.hold("192.0.2.1", 2, path)
        assert await page.ask("192.0.2.1", path) == 429
        held += await page.hold("192.0.2.1", 2, "/studio/runs/20261127-010203-abcd/live")
        held += await page.hold("192.0.2.2", 2, path)
        page.let_go.set()
        assert await asyncio.gather(*held) == [200] * 6
        assert await page.ask("192.0.2.1", path) == 200

    to_its_end(scene())
