"""From what a browser sends to a recipe and back; nothing that it sends is trusted."""

import math
from pathlib import Path

import pytest
from ui_helpers import a_recipe

from apt_core.base.errors import BadInput
from apt_core.methods import METHODS
from apt_core.ui.forms import uploads
from apt_core.ui.forms.form import CUSTOM, Form, form_of, recipe_of, recipes_of
from apt_core.ui.forms.presets import PRESETS, method_of, preset_of

GOOD = Form(
    model="tiny-random-llama",
    kind="n:m",
    pattern="2:4",
    keep=2,
    of=4,
    sparsity=50,
    method="apt",
    text="wikipedia",
    samples=16.0,
    length=256.0,
    eval_text="wikipedia",
    eval_samples=8,
    eval_length=512,
    seed=0,
    device="auto",
    dtype="auto",
)


def asked(options=None, **changes):
    return recipe_of(GOOD._replace(**changes), options or {})


def test_a_good_form_is_a_recipe():
    recipe = asked({"mask": {"name": "apt", "block_size": 64, "solution": "S"}, "dampening": 0.1})
    assert recipe.pattern.label == "2:4" and recipe.calibration.samples == 16
    assert recipe.method.mask.block_size == 64 and recipe.method.dampening == 0.1


def test_only_what_was_chosen_counts():
    assert asked(kind="unstructured", sparsity=55, pattern="nonsense").pattern.sparsity == 0.55
    assert asked(kind="n:m", sparsity=None, pattern="3:4").pattern.label == "3:4"
    assert asked(pattern=CUSTOM, keep=5, of=9).pattern.label == "5:9"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": None}, "Choose a model"),
        ({"model": "x" * 501}, "at most 500"),
        ({"method": "<b>"}, "There is no method '<b>'"),
        ({"kind": "unstructured", "sparsity": 100}, "Sparsity 1 is out of range"),
        ({"kind": "unstructured", "sparsity": -10}, "Sparsity -0.1 is out of range"),
        ({"kind": "unstructured", "sparsity": math.nan}, "Sparsity: give a number."),
        ({"kind": "unstructured", "sparsity": None}, "Sparsity: give a number."),
        ({"pattern": CUSTOM, "keep": 4, "of": 2}, "Pattern 4:2 is not possible"),
        ({"pattern": CUSTOM, "keep": 0, "of": 4}, "Pattern 0:4 is not possible"),
        ({"pattern": CUSTOM, "keep": 2, "of": 17}, "Pattern 2:17 is not possible"),
        ({"pattern": CUSTOM, "keep": None}, "N: give a number."),
        ({"pattern": None}, "neither a sparsity"),
        ({"samples": 0}, "Calibration samples: give a number from 1 to 4,096, not 0."),
        ({"samples": 1.5}, "give a whole number, not 1.5"),
        ({"samples": "many"}, "give a number"),
        ({"samples": math.inf}, "give a number"),
        ({"length": 4}, "from 16 to 32,768"),
        ({"eval_samples": -1}, "Evaluation windows"),
        ({"eval_length": None}, "Tokens of an evaluation window"),
        ({"seed": -1}, "Seed: give a number from 0"),
        ({"text": "/etc/passwd"}, "There is no text '/etc/passwd'"),
        ({"text": "upload:../../etc/passwd"}, "There is no text"),
        ({"text": "upload:0123456789ab-gone.txt"}, "upload it again"),
        ({"text": None}, "There is no text"),
        ({"device": "abacus"}, "device"),
    ],
)
def test_every_bad_choice_is_one_sentence(changes, sentence):
    with pytest.raises(BadInput) as refused:
        asked(**changes)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_options_out_of_bounds_name_the_component():
    with pytest.raises(BadInput, match="mask apt: block_size"):
        asked({"mask": {"name": "apt", "block_size": 3}})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pattern": {"kind": "unstructured", "sparsity": 0.37}},
        {"pattern": {"kind": "n:m", "keep": 5, "of": 16}, "seed": 3, "device": "cpu"},
    ],
)
def test_a_recipe_put_back_into_the_form_is_asked_for_again(changes):
    recipe = a_recipe(**changes)
    assert recipe_of(form_of(recipe), {}) == recipe


def test_rivals_are_asked_for_the_same_with_their_own_defaults():
    form = GOOD._replace(rivals=["wanda", "apt", "sparsegpt"])
    chosen, *rivals = recipes_of(form, {"mask": {"name": "apt", "solution": "S"}})
    assert chosen.method.mask.solution == "S" and [rival.method.name for rival in rivals] == [
        "sparsegpt",
        "wanda",
    ]
    assert rivals[0].method == METHODS["sparsegpt"]()
    assert {rival.model_copy(update={"method": chosen.method}) for rival in rivals} == {chosen}
    assert len(recipes_of(GOOD, {})) == len(recipes_of(GOOD._replace(rivals=None), {})) == 1


@pytest.mark.parametrize(
    "rivals", [["apple"], ["wanda", "<b>"], "wanda", 7, [None], [["wanda"]], {"wanda": 1}]
)
def test_rivals_that_are_none_are_one_sentence(rivals):
    with pytest.raises(BadInput) as refused:
        recipes_of(GOOD._replace(rivals=rivals), {})
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


def test_uploads_are_kept_by_content_and_asked_for_by_token(fresh_cache, tmp_path):
    path = tmp_path / "My notes (1).md"
    path.write_text("Some prose.\n" * 40, "utf-8")
    token = uploads.keep(path)
    recipe = asked(text=token)
    assert uploads.title(token) == "My-notes-1.txt (yours)" and uploads.keep(path) == token
    assert Path(recipe.calibration.text).read_text("utf-8") == path.read_text("utf-8")
    assert recipe_of(form_of(recipe), {}) == recipe


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"  \n ", "is empty"), (b"\xff\xfe\x00", "not UTF-8"), (b"a\0b", "binary file")],
)
def test_what_is_no_text_is_refused_and_leaves_nothing(fresh_cache, tmp_path, content, sentence):
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=sentence):
        uploads.keep(path)
    assert not list(fresh_cache.rglob("*.txt")) and not list(fresh_cache.rglob("*.part"))


def test_too_large_a_text_is_refused(fresh_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 10)
    path = tmp_path / "x.txt"
    path.write_bytes(b"a" * 11)
    with pytest.raises(BadInput, match="larger than"):
        uploads.keep(path)


def test_presets_are_told_by_their_numbers():
    for name, preset in PRESETS.items():
        assert preset_of(preset.samples, preset.length, preset.eval_samples, preset.eval_length) == name
    assert preset_of(1, 2, 3, 4) is None


def test_a_preset_brings_its_method_unless_the_visitor_chose_another():
    assert method_of("thorough", "apt") == "apt-joint"
    assert method_of("quick", "apt-joint") == "apt"
    assert method_of("thorough", "wanda") == "wanda"
    assert method_of("no-such-preset", "apt") == "apt"


def test_optional_layers_are_a_tick():
    recipe = asked(optional_layers=True)
    assert recipe.optional_layers and not asked().optional_layers
    assert form_of(recipe).optional_layers is True
