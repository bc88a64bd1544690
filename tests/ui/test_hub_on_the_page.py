"""Search, account, download and cache as the page says them; the Hub itself is in tests/models and tests/browser."""

from __future__ import annotations

import json

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, a_record, some_events, stamped

from apt_core import events as ev
from apt_core.base.errors import BadInput, NotReachable
from apt_core.base.policy import HostPolicy
from apt_core.events.records import RunRecord, fold
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.fetch import hub_token
from apt_core.models.fetch.cache_list import CachedModel
from apt_core.models.fetch.hub_search import Found
from apt_core.ui import page
from apt_core.ui.forms import account, checks, search
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore, models
from apt_core.ui.views.cards import facts_line, sentence_card
from apt_core.ui.views.models_table import models_table
from apt_core.ui.views.progress import status_block
from apt_core.ui.views.search_results import search_results


@pytest.fixture
def studio(tmp_path):
    store = FakeStore(checkpoint=tmp_path)
    return Studio(store, FakeLauncher(store), FakeReader(), {})


@pytest.fixture(autouse=True)
def no_token():
    hub_token.keep(None)
    yield
    hub_token.keep(None)


# ---- searching


def test_a_line_of_the_list_says_what_helps_to_choose():
    html = search_results([Found("ann/<b>big", 7_615_616_512, "apache-2.0", 9_400_000, True)])
    assert "7.62B parameters · apache-2.0 · 9.40M downloads" in html and "gated" in html
    assert 'data-model="ann/&lt;b&gt;big"' in html and "<b>" not in html
    unknown = search_results([Found("ann/new", None, None, None, False)])
    assert "licence not stated" in unknown and "parameters" not in unknown and "gated" not in unknown


def test_whatever_goes_wrong_with_a_search_is_a_sentence(monkeypatch):
    for error, said in ((NotReachable("The Hub does not answer."), "does not answer"), (OSError("x"), "log")):

        def fail(_query, _policy, error=error):
            raise error

        monkeypatch.setattr(search, "search", fail)
        assert said in search.answer("llama")
    assert search.answer("  ") == ""


# ---- whose account


def test_a_token_is_kept_only_when_the_hub_knows_it_and_the_field_is_emptied(monkeypatch):
    monkeypatch.setattr(account.hub_account, "name", lambda: "ann")
    field, note = account.take(" hf_good ")
    assert field == "" and "Signed in as ann." in note and hub_token.handed() == "hf_good"

    def unknown():
        raise BadInput("The Hub does not know this token; make a new one.")

    monkeypatch.setattr(account.hub_account, "name", unknown)
    field, note = account.take("hf_bad")
    assert field == "" and "does not know" in note and hub_token.handed() == "hf_good"
    account.take("")
    assert hub_token.handed() is None


@pytest.mark.parametrize(
    ("policy", "field", "button"),
    [
        (HostPolicy(), True, False),
        (HostPolicy(public=True), False, False),
        (HostPolicy(public=True, signs_in=True), False, True),
    ],
)
def test_the_token_field_is_for_ones_own_machine_and_the_button_for_spaces(
    policy, field, button, monkeypatch
):
    drawn = []
    monkeypatch.setattr(account.gr, "LoginButton", lambda **options: drawn.append(options))
    with gr.Blocks():
        assert (account.lay_out(policy) is not None) is field and bool(drawn) is button


def test_no_component_carries_a_token(studio, monkeypatch):
    monkeypatch.setattr(account.hub_account, "name", lambda: "ann")
    account.take("hf_very_secret")
    built = page.build(studio)
    assert "hf_very_secret" not in json.dumps(built.get_config_file(), default=str)


def test_answers_are_remembered_for_whom_they_were_given(monkeypatch):
    checks.forget()
    monkeypatch.setattr(
        checks,
        "_ask",
        lambda name, _policy: ModelFacts(id=name, title=str(hub_token.handed()), source="Hub"),
    )
    with hub_token.of_visitor("ann's"):
        assert checks.facts_of("x/y").title == "ann's"
    with hub_token.of_visitor(None):
        assert checks.facts_of("x/y").title == "None"
    checks.forget()


@pytest.mark.parametrize(
    ("members_only", "cached", "wanted"), [(True, False, "hf_a"), (False, False, None), (True, True, None)]
)
def test_a_worker_gets_the_token_only_when_it_needs_it(studio, monkeypatch, members_only, cached, wanted):
    facts = ModelFacts(
        id="tiny-random-llama", title="T", source="Hub", members_only=members_only, cached=cached
    )
    monkeypatch.setattr(checks, "facts_of", lambda _model, _policy: facts)
    with gr.Blocks():
        laid_out = explore.lay_out()
    values = {path: component.value for path, component in laid_out.chooser.controls.items()}
    with hub_token.of_visitor("hf_a"):
        explore.start(laid_out, studio, values)
    assert studio.launcher.token == wanted


def test_on_a_public_page_weights_that_came_with_an_account_stay(studio):
    run_id = studio.store.put("20261124-100000-abcd", some_events())
    studio.store.with_token.add(run_id)
    assert studio.checkpoint(run_id) is not None
    studio.policy = HostPolicy(public=True)
    assert studio.checkpoint(run_id) is None and studio.withholds(run_id)


# ---- facts and refusals


def test_the_card_says_the_type_of_the_weights_and_what_is_unpacked():
    known = ModelFacts(id="a/b", title="b", source="Hub", parameters=494_000_000, dtype="bfloat16")
    assert "494 million parameters in bfloat16 ·" in facts_line(known)
    packed = known.model_copy(update={"dequantised_from": "Q8_0"})
    assert "in bfloat16, dequantised from Q8_0" in facts_line(packed)


def test_the_terms_are_a_link_and_no_other_address_is():
    card = sentence_card(
        "Accept them at https://huggingface.co/meta/Llama-3.2, then try http://evil.example/x."
    )
    assert '<a href="https://huggingface.co/meta/Llama-3.2" target="_blank" rel="noopener">' in card
    assert card.count("<a ") == 1


# ---- a download


def downloading(*ending: ev.Event) -> RunRecord:
    files = (
        ev.FileBytes(name="model-1.safetensors", done=5_000_000, total=5_000_000),
        ev.FileBytes(name="model-2.safetensors", done=1_000_000, total=4_000_000),
        ev.FileBytes(name="6 small files", done=0, total=2_000),
    )
    progress = ev.Progress(stage="download", done=6_000_000, total=9_002_000, detail="ann/big", files=files)
    log = stamped([ev.Queued(), ev.Started(pid=1), progress, *ending])
    return fold(RunRecord(id="20261124-100000-abcd", job=a_recipe()), log)


def test_every_file_of_a_download_shows_its_bytes():
    html = status_block(downloading(), "Big", 1_764_000_010.0)
    assert "Fetching ann/big: 6.00 MB of 9.00 MB" in html
    assert "<span>model-1.safetensors</span><span>5.00 MB</span>" in html
    assert "<span>model-2.safetensors</span><span>1.00 MB of 4.00 MB</span>" in html
    assert "0 bytes of 2.00 kB" in html


def test_a_stopped_download_says_that_nothing_is_lost():
    html = status_block(downloading(ev.Cancelled()), "Big", 1_764_000_010.0)
    assert "stopped after 6.00 MB of 9.00 MB" in html and "goes on from there" in html
    assert "before any layer" in status_block(
        a_record("loaded").model_copy(update={"status": "cancelled"}), "B", 0.0
    )


# ---- the cache


def cached(name: str = "ann/<i>tiny", **changes) -> CachedModel:
    return CachedModel(name, "Hub", (), 1_500_000_000, 1_764_000_000.0, True)._replace(**changes)


def test_the_cache_is_listed_and_what_runs_need_has_no_button():
    html = models_table([cached(), cached("bob/used"), cached("eve/half", whole=False)], {"bob/used"})
    assert "1.50 GB" in html and "4.50 GB in all." in html and "2025-11-24" in html
    assert "ann/&lt;i&gt;tiny" in html and "<i>tiny" not in html
    assert html.count('data-action="ask-delete"') == 2 and "a run needs it" in html
    assert "partly downloaded" in html
    assert "No model has been downloaded yet" in models_table([], set())


def test_deleting_says_what_happened(studio, monkeypatch, fresh_cache):
    with gr.Blocks():
        tab = models.lay_out()
    monkeypatch.setattr(models.models_in_use, "remove", lambda store, name: 2_000_000)
    said = models.delete(tab, studio, "ann/tiny")
    assert "ann/tiny is deleted; 2.00 MB are free again." in said[tab.note]
    studio.policy = HostPolicy(public=True)
    assert "nobody can delete them" in models.delete(tab, studio, "ann/tiny")[tab.note]
