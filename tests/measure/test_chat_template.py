"""Templates are programs of strangers: none holds the reader or its memory."""

from __future__ import annotations

import resource
import signal
import time

import pytest
from transformers import AutoTokenizer

from apt_core.base.errors import BadText
from apt_core.measure.chat_template import rendered
from apt_core.models.catalogue.entries import CATALOGUE

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture
def tokenizer():
    return AutoTokenizer.from_pretrained(CATALOGUE["tiny-random-llama"].folder)


def with_template(tokenizer, template):
    tokenizer.chat_template = template
    return tokenizer


def test_an_honest_template_is_rendered(tokenizer):
    ending = "{% if add_generation_prompt %}<me>{% endif %}"
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}" + ending
    assert rendered(with_template(tokenizer, template), "Hello") == "<user>Hello<me>"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (LOOP, "does not end within"),
        ("{{ 'a' * 10000000000 }}", "memory|fails"),
        ("{{ ('a' * 1000000) }}", "200,000 characters"),
        ("{{ raise_exception('no') }}", "fails: no"),
        ("{{ messages[7].content.nothing.at_all }}", "fails"),
        ("{% for %}", "fails"),
    ],
)
def test_what_wants_too_much_is_one_sentence(tokenizer, template, said):
    begun = time.monotonic()
    with pytest.raises(BadText, match=said) as error:
        rendered(with_template(tokenizer, template), "Hello", seconds=0.3)
    assert time.monotonic() - begun < 5
    assert "without the model's chat form" in str(error.value) and "\n" not in str(error.value)


def test_afterwards_everything_is_as_it_was(tokenizer):
    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM)
    with pytest.raises(BadText):
        rendered(with_template(tokenizer, LOOP), "Hello", seconds=0.1)
    assert (resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert len(bytearray(500_000_000)) == 500_000_000
