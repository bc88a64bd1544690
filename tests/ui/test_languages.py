"""Every text that a control of the page says is there in every language, and nothing else is."""

from __future__ import annotations

import json

import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore

from apt_core.base.policy import HostPolicy
from apt_core.ui import languages, page
from apt_core.ui.languages import LANGUAGES, said, words
from apt_core.ui.studio import Studio

POLICIES = (HostPolicy(), HostPolicy(public=True))


def built(policy):
    store = FakeStore()
    return page.build(Studio(store, FakeLauncher(store), FakeReader(), {}, policy))


@pytest.fixture(scope="module")
def pages():
    return [built(policy) for policy in POLICIES]


@pytest.fixture(scope="module")
def unmarked():
    """The pages as they are drawn, before their texts are marked."""
    real, languages.mark = languages.mark, lambda page: None
    try:
        return [built(policy) for policy in POLICIES]
    finally:
        languages.mark = real


def blocks(pages):
    return [block for one in pages for block in one.blocks.values()]


def is_example(block):
    """A proposed prompt: it is asked as it is written."""
    return "example" in (getattr(block, "elem_classes", None) or [])


def test_every_text_of_a_control_has_a_key(unmarked):
    texts = {text for block in blocks(unmarked) if not is_example(block) for _, text in said(block)}
    assert len(texts) > 60
    assert sorted(texts - set(words("en"))) == [], "add them to assets/ui/languages/*.json"


def test_no_key_is_missing_or_left_over_in_any_language(unmarked):
    choices = {
        title for block in blocks(unmarked) for title, _ in getattr(block, "choices", None) or () if title
    }
    said_anywhere = choices | {text for block in blocks(unmarked) for _, text in said(block)}
    for language in LANGUAGES:
        assert set(words(language)) == set(words("en")), language
        assert all(text.strip() == text and text for text in words(language).values()), language
    assert sorted(set(words("en")) - said_anywhere) == [], "nothing says them any more"


def test_english_says_what_the_code_says():
    assert all(key == text for key, text in words("en").items())


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_the_others_are_translated(language):
    same = {key for key, text in words(language).items() if key == text}
    assert same <= {"Standard", "Name"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_taken_for_a_placeholder_or_a_tag(language):
    """Gradio's messages are ICU messages."""
    assert not [text for text in words(language).values() if set(text) & set("{}<>")]


def test_what_the_browser_gets_is_marked(pages):
    """Nothing is drawn around it: the texts of the finished page are keys."""
    for one in pages:
        config = json.loads(json.dumps(one.get_config_file(), default=str))
        plain = {
            component["props"][name]
            for component in config["components"]
            for name in ("label", "info", "placeholder")
            if isinstance(component["props"].get(name), str)
            and component["type"] != "html"
            and "__i18n__" not in component["props"][name]
        }
        assert plain <= {""}, plain


def test_the_page_is_launched_with_its_languages():
    studio = Studio(FakeStore(), None, FakeReader(), {})
    assert set(page.launch_options(studio)["i18n"].translations_dict) == set(LANGUAGES)
