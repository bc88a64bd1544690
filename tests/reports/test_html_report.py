"""The one file: it holds everything, loads nothing, and nothing from a record becomes HTML."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest
from report_runs import NASTY, a_race, hostile, the_report
from ui_helpers import a_record

from apt_core.plots.palette import tokens
from apt_core.reports import html, samples
from apt_core.reports.html import to_html


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text of its scripts."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script" and self.lasttag == "script" and self.cdata_elem:
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif not self.cdata_elem:
            self.text += data


@pytest.fixture(scope="module", params=["one", "race", "hostile", "sample"])
def page(request):
    records = {
        "one": [a_record()],
        "race": a_race(),
        "hostile": [hostile(), *a_race()],
        "sample": [sample.record(name) for name, sample in samples.load().items()][:1],
    }
    text = to_html(the_report(*records[request.param]))
    assert len(text.encode()) < 5_000_000
    return Page(text)


def test_nothing_is_loaded_from_anywhere(page):
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "main",
        "section",
        "figure",
        "figcaption",
    }
    allowed |= {
        "h1",
        "h2",
        "h3",
        "h4",
        "small",
        "p",
        "span",
        "div",
        "a",
        "details",
        "summary",
        "table",
        "caption",
        "thead",
        "tbody",
    }
    allowed |= {"tr", "th", "td", "ul", "li", "dl", "dt", "dd", "pre", "button", "script"}
    assert {tag for tag, _ in page.tags} <= allowed
    for tag, attributes in page.tags:
        assert (
            not {"src", "srcset", "action", "formaction", "data", "poster", "background"} & attributes.keys()
        )
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import", html._asset("report.css"))


def test_only_the_scripts_of_the_report_may_run_and_nothing_may_be_fetched(page):
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy.partition("style-src")[0]
    running = [text for attributes, text in page.scripts if not attributes.get("type")]
    assert len(running) == 2
    for script in running:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_every_chart_has_its_figure_and_its_table(page):
    (data,) = (text for attributes, text in page.scripts if attributes.get("type"))
    figures = json.loads(data)["charts"]
    places = [attributes["data-chart"] for _, attributes in page.tags if "data-chart" in attributes]
    assert sorted(places) == sorted(figures) and figures
    assert sum(tag == "details" for tag, _ in page.tags) == len(places)
    light, dark = tokens()
    assert json.loads(data)["dark"][light["dense"]] == dark["dense"]


def test_what_a_record_says_stays_text():
    text = to_html(the_report(hostile()))
    assert "<img" not in text and text.count("<script") == 3
    assert NASTY in Page(text).text


def test_links_go_to_runs_of_the_report():
    text = to_html(the_report(*a_race()))
    for found in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{found}"' in text
    assert text.count('href="#run-') >= 3


def test_a_file_that_would_be_too_large_leaves_single_runs_charts_out_and_says_so():
    report = the_report(*a_race())
    whole = to_html(report)
    smaller = to_html(report, most_bytes=len(whole.encode()) - 1)
    assert "larger than 5 MB" in smaller and "larger than 5 MB" not in whole
    page = Page(smaller)
    shared = ["perplexities", "costs", "curves", "race"]
    assert [a["data-chart"].partition("-")[0] for _, a in page.tags if "data-chart" in a] == shared


def test_eight_runs_of_a_real_model_fit_into_a_mail():
    """Each as large as SmolLM2's: 210 layers."""
    sample = next(sample for sample in samples.load().values() if "smollm2" in sample.job.model.id)
    records = [sample.record("x").model_copy(update={"id": f"20261124-0900{n:02}-0000"}) for n in range(8)]
    report = the_report(*records)
    text = to_html(report)
    assert len(text.encode()) < html.MOST_BYTES and report.left_out == "" and "left out" not in text
    assert len([tag for tag, attributes in Page(text).tags if "data-chart" in attributes]) > 8 * 3


def test_what_needs_all_of_plotly_goes_first_where_the_file_would_be_too_large():
    report = the_report(*a_race())
    parallel = report.shared[0]._replace(id="parallel", figure=go.Figure({"data": [{"type": "parcoords"}]}))
    text = to_html(report._replace(shared=(*report.shared, parallel)), most_bytes=4_000_000)
    assert len(text.encode()) < 4_000_000 and "parallel axes is left out" in text
    charts = [attributes["data-chart"] for _, attributes in Page(text).tags if "data-chart" in attributes]
    assert sorted(charts) == sorted(chart.id for chart in report.charts)


def test_a_chart_of_another_kind_brings_the_whole_plotly():
    report = the_report(a_record())
    assert "(cartesian - minified)" in html._bundle(report.charts)
    chart = report.charts[0]
    figure = type(chart.figure)({"data": [{"type": "parcoords"}]})
    bundle = html._bundle([chart._replace(figure=figure)])
    assert "(cartesian" not in bundle[:400] and "plotly.js v" in bundle[:400]
