"""Templates are programs of strangers: none holds the reader or its memory."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time

import pytest
from transformers import AutoTokenizer

from apt_core.base.errors import BadText
from apt_core.measure.chat_template import ENDED_BY, rendered
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.runs.starting import REPOSITORY

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
    assert "without the chat template" in str(error.value) and "\n" not in str(error.value)


def test_what_hears_no_signal_is_ended_with_its_process():
    """One step of Python, hours long: it held the reader for five minutes, and so did the next question."""
    template = "{% set n = messages|length * 10000000 %}{{ ('a' * n).strip('b' * n + 'a') }}"
    code = (
        "from transformers import AutoTokenizer\n"
        "from apt_core.measure.chat_template import rendered\n"
        "from apt_core.models.catalogue.entries import CATALOGUE\n"
        "tokenizer = AutoTokenizer.from_pretrained(CATALOGUE['tiny-random-llama'].folder)\n"
        "tokenizer.chat_template = '{{ messages }}'\n"
        "rendered(tokenizer, 'Hello', seconds=60)\n"  # what it needs is imported from here on
        f"tokenizer.chat_template = {template!r}\n"
        "rendered(tokenizer, 'Hello', seconds=1.0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=120, capture_output=True)
    assert ended.returncode == -ENDED_BY, ended.stderr[-500:]


def test_afterwards_everything_is_as_it_was(tokenizer):
    before = limits_now()
    with pytest.raises(BadText):
        rendered(with_template(tokenizer, LOOP), "Hello", seconds=0.1)
    assert limits_now() == before
    assert signal.getitimer(signal.ITIMER_REAL) == signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert len(bytearray(500_000_000)) == 500_000_000


def limits_now():
    return (
        resource.getrlimit(resource.RLIMIT_AS),
        signal.getsignal(signal.SIGALRM),
        signal.getsignal(ENDED_BY),
    )
