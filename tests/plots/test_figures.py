"""The figures: what is drawn, in which words, and that plain JSON comes out."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "ui"))

from ui_helpers import LAYERS, a_recipe, a_record

from apt_core.plots import layer_error, layer_marks, layer_words, palette, perplexity
from apt_core.plots.chart import RunSet


def test_one_trace_per_projection_with_its_own_colour_and_shape():
    plot = layer_error.figure(RunSet(a_record()))
    assert [trace.name for trace in plot.data] == ["q", "k", "down"]
    assert (
        len({trace.marker.symbol for trace in plot.data})
        == len({trace.marker.color for trace in plot.data})
        == 3
    )
    assert list(plot.data[0].x) == [0, 1] and list(plot.data[0].y) == pytest.approx([0.01, 0.02])


def test_the_axis_is_ready_before_the_points_are():
    plot = layer_error.figure(RunSet(a_record("loaded", blocks=30)))
    assert list(plot.layout.xaxis.range) == [-0.5, 29.5] and len(plot.data) == len(LAYERS)
    assert plot.layout.yaxis.type == "log"


def test_zoom_and_hidden_traces_survive_because_the_revision_is_the_run():
    assert (
        layer_error.figure(RunSet(a_record("loaded"))).layout.uirevision
        == layer_error.figure(RunSet(a_record())).layout.uirevision
    )


def test_hover_says_everything_about_the_layer():
    hover = list(layer_error.figure(RunSet(a_record(valid=False))).data[2].customdata[0])
    assert hover[:6] == ["mlp.down_proj", "0.0300", "50%", "NO (2:4)", "64 × 176", "0.20 s"]
    assert (
        hover[6].startswith("Block 0, mlp.down_proj: relative error 0.0300") and hover[7] == "0:mlp.down_proj"
    )


def test_the_axis_is_named_and_the_note_says_what_it_and_the_names_of_projections_mean():
    assert layer_error.figure(RunSet(a_record())).layout.yaxis.title.text == "relative error (log scale)"
    said = layer_error.note(RunSet(a_record()))
    assert said.startswith("Relative error: how far the layer's output moved: the squared change")
    assert said.endswith(" q, k: queries, keys of attention. down: narrowing of the MLP.")
    assert layer_words.projections({"dt", "in B"}) == ""


def test_the_title_is_a_finding_only_once_the_run_is_over():
    assert layer_error.title(RunSet(a_record(blocks=8))) == "Error grows fivefold from block 0 to 7"
    assert layer_error.title(RunSet(a_record("layers", blocks=8))) == "Error of each layer"
    assert layer_error.title(RunSet(a_record(blocks=1))).startswith("One block, mean error 0.0200")


def test_without_a_finding_the_title_stays_neutral():
    assert layer_error.title(RunSet(a_record(blocks=2))) == "Error of each layer"


def test_ticks_are_said_without_exponents_and_thin_out_over_many_decades():
    near = layer_error.figure(RunSet(a_record())).layout.yaxis
    assert {"0.01", "0.02", "0.05"} <= set(near.ticktext)
    record = a_record()
    tiny = record.layers[0].model_copy(update={"relative_error": 3e-6})
    far = layer_error.figure(
        RunSet(record.model_copy(update={"layers": (tiny, *record.layers[1:])}))
    ).layout.yaxis
    assert "0.00001" in far.ticktext and "0.02" not in far.ticktext


def test_an_exact_zero_has_no_place_on_a_log_axis():
    record = a_record()
    zero = record.layers[0].model_copy(update={"relative_error": 0.0})
    plot = layer_error.figure(RunSet(record.model_copy(update={"layers": (zero, *record.layers[1:])})))
    assert plot.data[0].y[0] is None


@pytest.mark.parametrize("names", [("fc1", "fc2"), tuple(f"mixer.x{i}" for i in range(20))])
def test_projections_that_nobody_knows_still_get_a_mark(names):
    record = a_record("loaded")
    model = record.model.model_copy(update={"layers": names})
    slots = layer_marks.slots(record.model_copy(update={"model": model}))
    assert list(slots) == list(names)


def test_experts_of_a_block_share_a_trace_and_like_names_are_told_apart():
    record = a_record()
    names = (
        "mlp.experts.0.down_proj",
        "mlp.experts.1.down_proj",
        "mlp.shared_expert.down_proj",
        "mixer.in_proj",
    )
    layers = tuple(record.layers[0].model_copy(update={"layer": name}) for name in names)
    model = record.model.model_copy(update={"layers": names})
    plot = layer_error.figure(RunSet(record.model_copy(update={"model": model, "layers": layers})))
    assert [trace.name for trace in plot.data] == ["experts.down", "shared_expert.down", "in"]
    assert [len(trace.x) for trace in plot.data] == [2, 1, 1] and plot.data[0].mode == "markers"


def test_summaries_are_sentences_with_numbers():
    said = layer_error.summary(RunSet(a_record()))
    assert (
        said.startswith("6 of 6 layers. Mean relative error 0.0300;")
        and "Pattern 2:4 kept in 6 of 6." in said
    )
    assert "lower is better" in perplexity.summary(RunSet(a_record()))


def test_perplexity_shows_only_what_was_measured():
    half = perplexity.figure(RunSet(a_record("layers")))
    assert list(half.data[0].x) == [20.0, None]
    assert [note.text for note in half.layout.annotations] == ["<b>20.0</b>", "–", ""]
    full = perplexity.figure(RunSet(a_record()))
    assert full.layout.annotations[2].text == "1.50 × the dense perplexity"
    assert perplexity.title(RunSet(a_record())) == "The pruned perplexity is 1.50 times the dense one"


def test_other_methods_asked_for_the_same_are_ticks():
    record = a_record()
    wanda = a_record(run_id="20261124-090000-0001", pruned=44.0, recipe=a_recipe(method="wanda"))
    older = a_record(run_id="20261124-080000-0002", pruned=99.0, recipe=a_recipe(method="wanda"))
    same = a_record(run_id="20261124-090000-0003", pruned=31.0)
    other_text = a_record(run_id="20261124-090000-0004", dense=21.0, recipe=a_recipe(method="magnitude"))
    other_pattern = a_recipe(method="magnitude", pattern={"kind": "n:m", "keep": 4, "of": 8})
    unfinished = a_record("layers", run_id="20261124-090000-0005", recipe=a_recipe(method="sparsegpt"))
    runs = [record, same, wanda, older, other_text, a_record(recipe=other_pattern), unfinished]
    beside = RunSet(record, tuple(runs))
    assert perplexity.references(beside) == [wanda]
    ticks = perplexity.figure(beside).data[1]
    assert list(ticks.x) == [44.0] and list(ticks.customdata) == ["Wanda"]
    assert list(ticks.y) == ["others"]  # not across the bar and its number
    named = [note.text for note in perplexity.figure(beside).layout.annotations if note.y == "others"]
    assert len(named) == 1 and named[0].startswith("Wanda ")
    assert perplexity.summary(beside).endswith(" Other methods on the same text: Wanda 44.0.")


def test_a_run_that_read_more_text_is_no_reference():
    shown = a_record()
    recipe = a_recipe(method="wanda", calibration={"samples": 999})
    wanda = a_record(run_id="20261124-090000-0001", pruned=44.0, recipe=recipe)
    assert perplexity.references(RunSet(shown, (wanda,))) == []


def test_figures_are_plain_json_without_binary_arrays():
    for figure in (layer_error.figure(RunSet(a_record())), perplexity.figure(RunSet(a_record()))):
        assert "bdata" not in json.dumps(json.loads(figure.to_json()))


def test_dark_figures_use_the_dark_tokens():
    text = (
        layer_error.figure(RunSet(a_record()), dark=True).to_json()
        + perplexity.figure(RunSet(a_record()), dark=True).to_json()
    )
    light, dark = palette.tokens()
    assert dark["pruned"] in text and light["pruned"] not in text and light["ink"] not in text


# ---- colours


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["ink", "muted", "accent", "dense", "pruned", "warning", "failure"])
@pytest.mark.parametrize("ground", ["page", "surface"])
def test_text_reaches_aa(name, ground, dark):
    assert contrast(palette.colour(name, dark), palette.colour(ground, dark)) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("on-accent", "accent"),
        ("on-accent", "accent-strong"),
        ("ink", "accent-soft"),
        ("muted", "sunken"),
        ("ink", "warning-soft"),
        ("failure", "failure-soft"),
        ("ink", "dense-soft"),
        ("ink", "pruned-soft"),
        ("dense", "dense-soft"),
        ("pruned", "pruned-soft"),
    ],
)
def test_text_on_coloured_grounds_reaches_aa(text, ground, dark):
    assert contrast(palette.colour(text, dark), palette.colour(ground, dark)) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    "name", [*(f"mark-{place}" for place in range(1, 9)), "edge", "dense", "pruned", "accent"]
)
def test_marks_and_edges_reach_three_to_one(name, dark):
    for ground in ("page", "surface"):
        assert contrast(palette.colour(name, dark), palette.colour(ground, dark)) >= 3


def test_every_light_colour_has_one_dark_twin():
    light, dark = palette.tokens()
    assert light.keys() == dark.keys() and len(set(light.values())) == len(light)
    assert palette.swap()[light["page"]] == dark["page"]
