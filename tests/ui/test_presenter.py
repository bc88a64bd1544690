"""The presenter's slides as HTML: escaped, numbered, the pattern drawn exactly; and the addresses that give them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, a_record, some_events

sys.path.insert(0, str(Path(__file__).parent.parent / "reports"))

from report_runs import hostile

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.reports import samples
from apt_core.ui import server
from apt_core.ui.studio import Studio
from apt_core.ui.views.slides import mask_picture, present_link, slides_html

RUN = "20261124-100000-abcd"


@pytest.fixture
def client():
    store = FakeStore()
    store.put(RUN, some_events())
    store.put("20261124-100001-abcd", some_events("layers"))
    with TestClient(
        Starlette(routes=server.routes(Studio(store, FakeLauncher(store), FakeReader())))
    ) as client:
        yield client


def test_slides_of_a_run_and_of_a_recorded_sample(client):
    html = client.get(f"/studio/runs/{RUN}/slides").text
    assert re.findall(r'data-slide="(\w+)"', html) == ["pruning", "removed", "cost", "gain", "verdict"]
    assert "5 / 5" in html and 'aria-label="1 of 5: Pruning sets' in html
    sample = client.get(f"/studio/runs/{next(iter(samples.load()))}/slides").text
    assert 'data-slide="answers"' in sample and 'class="duel"' in sample


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("20261124-100001-abcd", "has not finished yet"),
        ("20200101-000000-0000", "There is no run"),
        ("sample-none", "no recorded sample"),
        ("%3Cb%3E", "There is no run"),
    ],
)
def test_what_has_no_slides_is_a_sentence_and_no_html(client, run, words):
    answer = client.get(f"/studio/runs/{run}/slides")
    assert answer.status_code == 404 and words in answer.text
    assert answer.headers["content-type"].startswith("text/plain")


def test_everything_from_outside_is_escaped():
    html = str(slides_html(hostile(), '<img src="x">'))
    assert "<script" not in html and "<img" not in html and "&lt;img" in html


@pytest.mark.parametrize("pattern", [(2, 4), (1, 4), (4, 8), (1, 3), (5, 7), (15, 16)])
def test_the_picture_keeps_exactly_n_of_every_m(pattern):
    keep, of = pattern
    picture = mask_picture(a_recipe(pattern=SemiStructured(keep=keep, of=of)))
    groups = [row[start : start + of] for row in picture for start in range(0, len(row), of)]
    assert groups and all(len(group) == of and group.count(False) == keep for group in groups)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.999])
def test_the_picture_leaves_out_the_share(share):
    cells = [gone for row in mask_picture(a_recipe(pattern=Unstructured(sparsity=share))) for gone in row]
    assert cells.count(True) == round(share * len(cells))


def test_only_what_has_slides_can_be_presented():
    assert f'data-present="{RUN}"' in present_link(a_record())
    assert present_link(a_record("layers")) == ""
