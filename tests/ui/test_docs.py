"""The documentation as the page serves it: every ? leads to a paragraph that is there, without a network."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from apt_core.base.paths import DOCS
from apt_core.ui import docs
from apt_core.ui.views.html import TERMS, term


@pytest.fixture
def client():
    return TestClient(Starlette(routes=[Route("/studio/docs/{path:path}", docs.answer)]))


@pytest.mark.parametrize("name", TERMS)
def test_the_question_mark_of_a_term_leads_to_its_paragraph(client, name):
    (address,) = re.findall(r'href="([^"]+)"', str(term(name)))
    page, _, anchor = address.partition("#")
    found = client.get(f"/{page}")
    assert found.status_code == 200 and anchor and f'id="{anchor}"' in found.text


def test_every_page_is_drawn_and_asks_no_other_host(client):
    for file in DOCS.rglob("*.md"):
        page = client.get(f"/studio/docs/{file.relative_to(DOCS)}")
        assert page.status_code == 200 and "<h1" in page.text, file
        assert not re.search(r'(?:src|<link[^>]*href)="(?:https?:)?//', page.text), file
        style = re.findall(r'href="([^"]*docs\.css)"', page.text)[0]
        assert client.get(f"/studio/docs/{file.parent.relative_to(DOCS)}/{style}").status_code == 200


def test_the_link_in_the_head_of_the_page_leads_to_the_contents(client):
    assert "tutorials/first-prune.md" in client.get(f"/{docs.page_url()}").text


@pytest.mark.parametrize(
    "name", ["", "nothing.md", "%2e%2e%2frequirements.txt", "..%2fpyproject.toml", "reference"]
)
def test_what_is_no_page_is_a_sentence(client, name):
    found = client.get(f"/studio/docs/{name}")
    assert found.status_code == 404 and found.text.endswith(".")


def test_an_installation_without_the_documentation_says_where_it_is(client, monkeypatch, tmp_path):
    monkeypatch.setattr(docs, "DOCS", tmp_path / "none")
    assert "APT_DOCS" in client.get("/studio/docs/index.md").text


def test_a_host_may_name_another_place_of_the_same_files(monkeypatch):
    monkeypatch.setenv("APT_DOCS", "https://example.org/blob/main/docs/")
    assert docs.docs_url("N:M") == "https://example.org/blob/main/docs/reference/terms.md#nm"
    assert docs.page_url() == "https://example.org/blob/main/docs/index.md"
