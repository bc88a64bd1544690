"""From what a browser sends to a recipe and back; nothing that it sends is trusted."""

import math
from pathlib import Path
from typing import Literal

import gradio as gr
import pytest
from pydantic import Field
from ui_helpers import a_recipe

from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.jobs import Prune
from apt_core.methods import METHODS
from apt_core.runs.owners import HERE
from apt_core.ui.acting import acting_for
from apt_core.ui.forms import choose, options, uploads
from apt_core.ui.forms.controls import CUSTOM
from apt_core.ui.forms.fields import fields_of
from apt_core.ui.forms.form import jobs_of, read, write
from apt_core.ui.forms.presets import PRESETS, method_of, preset_of

GOOD = {
    "model": "tiny-random-llama",
    "pattern.kind": "n:m",
    "pattern.name": "2:4",
    "pattern.keep": 2,
    "pattern.of": 4,
    "pattern.sparsity": 50,
    "method.name": "apt",
    "calibration.text": "wikipedia",
    "calibration.samples": 16.0,
    "calibration.length": 256.0,
    "evaluation.text": "wikipedia",
    "evaluation.samples": 8,
    "evaluation.length": 512,
    "seed": 0,
    "resources.device": "auto",
    "resources.dtype": "auto",
}


def asked(**changes):
    """A recipe of GOOD with other values; two underscores are a dot."""
    return read(Prune, GOOD | {path.replace("__", "."): value for path, value in changes.items()})


def with_options(**changes):
    """The options of APT as the page sends them, some of them changed."""
    shown = options.values_of(METHODS["apt"]()) | {
        path.replace("__", "."): new for path, new in changes.items()
    }
    return {f"method.{key}": value for key, value in shown.items()}


def test_a_good_form_is_a_recipe():
    recipe = read(Prune, GOOD | with_options(mask__apt__block_size=64.0, dampening=0.1))
    assert recipe.pattern.label == "2:4" and recipe.calibration.samples == 16
    assert recipe.method.mask.block_size == 64 and recipe.method.dampening == 0.1


def test_only_what_was_chosen_counts():
    assert (
        asked(pattern__kind="unstructured", pattern__sparsity=55, pattern__name="nonsense").pattern.sparsity
        == 0.55
    )
    assert asked(pattern__kind="n:m", pattern__sparsity=None, pattern__name="3:4").pattern.label == "3:4"
    assert asked(pattern__name=CUSTOM, pattern__keep=5, pattern__of=9).pattern.label == "5:9"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": None}, "Choose a model"),
        ({"model": "x" * 501}, "at most 500"),
        ({"method__name": "<b>"}, "There is no method '<b>'"),
        (
            {"pattern__kind": "unstructured", "pattern__sparsity": 100},
            "a percentage from 0 to 99, not 100.",
        ),
        (
            {"pattern__kind": "unstructured", "pattern__sparsity": -10},
            "a percentage from 0 to 99, not -10.",
        ),
        (
            {"pattern__kind": "unstructured", "pattern__sparsity": math.nan},
            "Sparsity: give a number.",
        ),
        ({"pattern__kind": "unstructured", "pattern__sparsity": None}, "Sparsity: give a number."),
        ({"pattern__name": CUSTOM, "pattern__keep": 4, "pattern__of": 2}, "Pattern 4:2 is not possible"),
        ({"pattern__name": CUSTOM, "pattern__keep": 0, "pattern__of": 4}, "Pattern 0:4 is not possible"),
        ({"pattern__name": CUSTOM, "pattern__keep": 2, "pattern__of": 17}, "Pattern 2:17 is not possible"),
        ({"pattern__name": CUSTOM, "pattern__keep": None}, "N: give a number."),
        ({"pattern__name": None}, "neither a sparsity"),
        ({"calibration__samples": 0}, "Calibration samples: give a number from 1 to 4,096, not 0."),
        ({"calibration__samples": 1.5}, "give a whole number, not 1.5"),
        ({"calibration__samples": "many"}, "give a number"),
        ({"calibration__samples": math.inf}, "give a number"),
        ({"calibration__length": 4}, "from 16 to 32,768"),
        ({"evaluation__samples": -1}, "Evaluation windows"),
        ({"evaluation__length": None}, "Evaluation tokens each: give a number."),
        ({"seed": -1}, "Seed: give a number from 0"),
        ({"calibration__text": "/etc/passwd"}, "There is no text '/etc/passwd'"),
        ({"calibration__text": "upload:../../etc/passwd"}, "There is no text"),
        ({"calibration__text": "upload:0123456789ab-gone.txt"}, "upload it again"),
        ({"calibration__text": None}, "There is no text"),
        ({"resources__device": "abacus"}, "device"),
    ],
)
def test_every_bad_choice_is_one_sentence(changes, sentence):
    with pytest.raises(BadInput) as refused:
        asked(**changes)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_options_out_of_bounds_name_the_component():
    with pytest.raises(BadInput, match="mask apt: block_size"):
        read(Prune, GOOD | with_options(mask__apt__block_size=3))


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
    assert read(Prune, write(recipe)) == recipe


def test_rivals_are_asked_for_the_same_with_their_own_defaults():
    values = GOOD | with_options(mask__apt__solution="S") | {"rivals": ["wanda", "apt", "sparsegpt"]}
    chosen, *rivals = jobs_of(Prune, values, HostPolicy())
    assert chosen.method.mask.solution == "S" and [rival.method.name for rival in rivals] == [
        "sparsegpt",
        "wanda",
    ]
    assert rivals[0].method == METHODS["sparsegpt"]()
    assert {rival.model_copy(update={"method": chosen.method}) for rival in rivals} == {chosen}
    for none in ({}, {"rivals": None}, {"rivals": []}):
        assert len(jobs_of(Prune, GOOD | none, HostPolicy())) == 1


@pytest.mark.parametrize(
    "rivals", [["apple"], ["wanda", "<b>"], "wanda", 7, [None], [["wanda"]], {"wanda": 1}]
)
def test_rivals_that_are_none_are_one_sentence(rivals):
    with pytest.raises(BadInput) as refused:
        jobs_of(Prune, GOOD | {"rivals": rivals}, HostPolicy())
    assert str(refused.value).endswith((".", "?")) and "\n" not in str(refused.value)


def test_uploads_are_kept_by_content_and_asked_for_by_token(fresh_cache, tmp_path):
    path = tmp_path / "My notes (1).md"
    path.write_text("Some prose.\n" * 40, "utf-8")
    token = uploads.keep(path)
    with acting_for(HERE):
        recipe = asked(calibration__text=token)
    assert uploads.title(token) == "My-notes-1.txt (yours)" and uploads.keep(path) == token
    assert Path(recipe.calibration.text).read_text("utf-8") == path.read_text("utf-8")
    with acting_for(HERE):
        assert read(Prune, write(recipe)) == recipe


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"  \n ", "is empty"),
        (b"\xff\xfe\x00", "binary file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a\0b", "binary file"),
    ],
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
        assert preset_of(preset.values) == name
    assert preset_of({"calibration.samples": 16}) is None


def test_a_preset_brings_its_method_unless_the_visitor_chose_another():
    assert method_of("thorough", "apt") == "apt-joint"
    assert method_of("quick", "apt-joint") == "apt"
    assert method_of("thorough", "wanda") == "wanda"
    assert method_of("no-such-preset", "apt") == "apt"


def test_optional_layers_are_a_tick():
    recipe = asked(optional_layers=True)
    assert recipe.optional_layers and not asked().optional_layers
    assert write(recipe)["optional_layers"] is True


# ---- a field that the page has never heard of


class Longer(Prune):
    """A job with one field more of every plain kind."""

    patience: float = Field(default=0.5, ge=0, le=4, title="Patience", description="How long it waits")
    care: bool = Field(default=False, title="Extra care", description="Looks twice")
    order: Literal["up", "down"] = "up"
    remark: str = Field(default="", max_length=9)
    inner: str = Field(default="x", json_schema_extra={"control": "hidden"})


@pytest.fixture(scope="module")
def longer():
    with gr.Blocks():
        return choose.lay_out(HostPolicy(), Longer)


def test_a_new_plain_field_of_a_job_is_on_the_page_and_in_the_job(longer):
    control = longer.controls["patience"]
    assert (control.label, control.value, control.elem_id) == ("Patience", 0.5, "patience")
    assert control.info == "How long it waits (0 to 4)"
    assert isinstance(longer.controls["care"], gr.Checkbox) and longer.controls["care"].info == "Looks twice"
    assert longer.controls["order"].choices == [("up", "up"), ("down", "down")]
    assert isinstance(longer.controls["remark"], gr.Textbox) and "inner" not in longer.controls
    given = {"patience": 2.5, "care": True, "order": "down", "remark": "hm"}
    shown = {path: component.value for path, component in longer.controls.items()}
    [job] = jobs_of(Longer, shown | given, HostPolicy())
    assert (job.patience, job.care, job.order, job.remark, job.inner) == (2.5, True, "down", "hm", "x")
    assert read(Longer, write(job)) == job
    filled = choose.fill(longer, job)
    assert filled[longer.controls["patience"]] == 2.5 and filled[longer.controls["remark"]] == "hm"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patience": 5}, "Patience: give a number from 0 to 4, not 5.0."),
        ({"patience": "long"}, "Patience: give a number."),
        ({"order": "sideways"}, "order"),
        ({"remark": "far too long a remark"}, "remark"),
    ],
)
def test_a_new_field_is_checked_by_its_schema(changes, sentence):
    with pytest.raises(BadInput) as refused:
        read(Longer, GOOD | changes)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_the_page_draws_every_field_of_the_job_and_nothing_twice(longer):
    paths = [field.path for field in fields_of(Longer)]
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert any(drawn == path or drawn.startswith(f"{path}.") for drawn in longer.controls), path
    ids = [control.elem_id for control in longer.controls.values() if getattr(control, "elem_id", None)]
    assert len(set(ids)) == len(ids)


def test_nothing_chosen_is_the_default_and_a_hidden_field_is_never_read():
    assert asked(resources__device=None).resources.device == "auto"
    assert read(Longer, GOOD | {"inner": "y"}).inner == "x"


def test_a_method_that_removes_structures_takes_its_own_options():
    shown = {f"method.{key}": value for key, value in options.structured_values(None).items()}
    chosen = {"method.name": "depth", "method.structured.depth.criterion": "last", "pattern.sparsity": 25}
    (job,) = jobs_of(Prune, GOOD | shown | chosen, HostPolicy())
    assert job.kind == "shrink" and job.method.criterion == "last"
    assert job.pattern.label == "25%"  # whatever pattern is chosen: N:M says nothing of structures
    assert jobs_of(Prune, GOOD | shown | write(job), HostPolicy()) == [job]


def test_a_method_that_removes_structures_races_nobody():
    with pytest.raises(BadInput, match="untick the rivals"):
        jobs_of(Prune, GOOD | {"method.name": "depth", "rivals": ["wanda"]}, HostPolicy())
