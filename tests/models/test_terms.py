"""Conditions of use: asked once on a machine, and nothing is fetched before."""

import json

import pytest

from apt_core.base.errors import TermsNotAccepted
from apt_core.base.paths import data_dir
from apt_core.jobs import ModelRef
from apt_core.models.catalogue import terms
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.fetch import sources

NAME = "gemma-3-270m"
FILE = "terms/gemma-3-270m.json"


def test_nothing_is_fetched_before_they_are_accepted(monkeypatch):
    def fetched(*_):
        raise AssertionError("the wheel was asked for")

    monkeypatch.setattr(sources.packages, "fetch", fetched)
    with pytest.raises(TermsNotAccepted, match=r"Gemma Terms of Use \(https://ai.google.dev/gemma/terms\)"):
        sources.resolve(ModelRef(id=NAME))


def test_a_converted_model_does_not_open_them_either():
    """Whoever copies a cache from another machine is asked as well."""
    CATALOGUE[NAME].folder.mkdir(parents=True)
    with pytest.raises(TermsNotAccepted):
        sources.resolve(ModelRef(id=NAME))


def test_accepted_once_is_accepted_and_says_when():
    terms.accept(NAME)
    terms.check(NAME)
    told = json.loads((data_dir() / FILE).read_text())
    assert told["url"] == CATALOGUE[NAME].terms.url and told["at"].endswith("+00:00")
    terms.accept(NAME)
    assert json.loads((data_dir() / FILE).read_text()) == told, "the first time stays written down"


@pytest.mark.parametrize("content", ['{"url": "https://example.com/older-terms"}', "rubbish", "[]"])
def test_other_terms_or_an_unreadable_note_ask_again(content):
    (data_dir() / "terms").mkdir(parents=True)
    (data_dir() / FILE).write_text(content)
    assert terms.to_accept(NAME)
    terms.accept(NAME)
    assert terms.to_accept(NAME) is None


@pytest.mark.parametrize("name", ["smollm2-135m", "owner/name", "../../etc/passwd"])
def test_most_models_have_none(name):
    terms.accept(name)
    terms.check(name)
    assert not (data_dir() / "terms").exists()
