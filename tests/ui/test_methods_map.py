"""The map of methods: five groups, every method in one of them, drawn from the registries."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from apt_core.methods import METHODS, STRUCTURED
from apt_core.methods.registry import RECOVERIES
from apt_core.methods.searching.evolution import Evolution
from apt_core.reports import measured
from apt_core.ui.views.methods_map import GROUPS, group_of, line_of, members
from apt_core.ui.views.methods_page import methods_page


def test_every_method_is_in_one_group_and_no_group_is_empty():
    everything = [*METHODS.values(), *STRUCTURED.values(), *RECOVERIES.values(), Evolution]
    assert sorted(kind.name for group in GROUPS for kind in members(group)) == sorted(
        kind.name for kind in everything
    )
    assert len(GROUPS) == 5 and all(members(group) for group in GROUPS)


@pytest.mark.parametrize(
    ("name", "group", "needs"),
    [
        ("magnitude", "plain", "nothing"),
        ("wanda", "chosen", "a text"),
        ("apt", "compensated", "a text"),
        ("apt-joint", "compensated", "a text and gradients"),
        ("depth", "structures", "a text"),
        ("llm-pruner", "structures", "a text and gradients"),
        ("search", "structures", "a text and gradients"),
        ("spp", "recovery", "training"),
        ("distill", "recovery", "training, and the dense model"),
    ],
)
def test_a_method_finds_its_place_and_says_what_it_needs(name, group, needs):
    kind = {**METHODS, **STRUCTURED, **RECOVERIES, "search": Evolution}[name]
    assert group_of(kind).name == group and line_of(kind).needs == needs


class _Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tried, self.ids, self.linked, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        self.tried += [about["data-try-method"]] if "data-try-method" in about else []
        self.ids += [about["id"]] if "id" in about else []
        self.linked += [about["href"][1:]] if about.get("href", "").startswith("#") else []
        self.open += [about] if tag == "details" and "open" in about else []


def test_all_but_training_and_search_can_be_tried_and_every_link_leads_somewhere():
    seen = _Seen()
    seen.feed(str(methods_page()))
    assert sorted(seen.tried) == sorted([*METHODS, *STRUCTURED])
    assert set(seen.linked) <= set(seen.ids) and len(seen.ids) == len(set(seen.ids))
    assert not seen.open, "a newcomer sees the five groups first"


def test_the_map_says_what_was_measured_with_its_conditions_and_a_dash_where_nothing_was(monkeypatch):
    outcome = measured.Outcome(
        setting="25% of the blocks", perplexity=2.5, low=2.25, high=2.75, size=0.8, speed=1.25
    )
    half = measured.Outcome(setting="50%", perplexity=1.5, low=1.4, high=1.6)
    trained = half.model_copy(update={"before": 4.0})
    found = measured.Measured(
        conditions=("On words.", "On a desk."),
        outcomes={"depth": (outcome,), "wanda": (half,), "spp": (trained,)},
    )
    monkeypatch.setattr(measured, "load", lambda: found)
    page = str(methods_page())
    assert '<span title="95% interval 2.25 to 2.75">2.50 ×</span>; 80% of the bytes, 1.25 × tokens/s' in page
    assert page.count("On words. On a desk.") == 1, "under the structures"
    assert page.count('<p class="quiet measured">On words.</p>') == 2, "under the masks and the training"
    assert '50%: from 4.00 × to <span title="95% interval 1.40 to 1.60">1.50 ×</span>' in page
    assert "<td>–</td>" in page


def test_every_method_that_was_measured_is_one_of_the_map():
    everything = {*METHODS, *STRUCTURED, *RECOVERIES, Evolution.name}
    assert measured.load().outcomes.keys() <= everything
    assert {"apt", "wanda", "sparsegpt", "alps"} <= measured.load().outcomes.keys()
