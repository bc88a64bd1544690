"""Claims of related papers: what is measured for them, what is recorded, what is said of it."""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path

import pytest

from apt_core.base.policy import PRIVATE
from apt_core.cli.options import pruning_from, settings_from
from apt_core.cli.parser import build_parser
from apt_core.methods.registry import recovery_of
from benchmarks import overlap, runs
from benchmarks.judge import Interval, ratio
from benchmarks.related import claims, law, measuring, ratios, records
from benchmarks.related.claims import CLAIMS
from benchmarks.related.recipes import Pruned, Recovered
from benchmarks.related.table import as_json, table

RECIPES = list(dict.fromkeys(recipe for claim in CLAIMS for recipe in (claim.ours, claim.theirs)))
CALIBRATION = "32 x 512 tokens of valid.txt"


def claim_of(name: str) -> claims.Claim:
    return next(claim for claim in CLAIMS if claim.name == name)


def line(recipe: str, losses: list[float], seed: int = 0, **more) -> dict:
    return {
        "model": "m", "recipe": recipe, "seed": seed, "calibration": CALIBRATION, "losses": {"text": losses},
    } | more  # fmt: skip


def in_place(method: str, allocation: str, pattern: str, losses: list[float], seed: int = 0) -> dict:
    """A line of `benchmarks.accuracy`."""
    asked = {"method": method, "allocation": allocation, "pattern": pattern}
    return {"model": "m", "seed": seed, "calibration": CALIBRATION, "losses": {"text": losses}} | asked


# ---- ratios


def test_a_claim_holds_only_where_the_whole_interval_says_so():
    def found(low, high):
        return ratios.verdict(Interval((low + high) / 2, low, high))

    assert found(0.8, 0.99) == "holds" and found(1.01, 1.2) == "does not hold"
    assert found(0.9, 1.1) == "too small to tell" and found(math.nan, math.nan) == "too little to tell"


def test_a_claim_takes_the_runs_that_differ_in_one_thing():
    lines = [
        in_place("wanda", "owl", "0.7", [3.0, 3.2]),
        in_place("wanda", "uniform", "0.7", [3.3, 3.5]),
        in_place("wanda", "owl", "0.7", [3.0, 3.0], seed=1),
        in_place("wanda", "uniform", "0.6", [9.0, 9.0]),
        line("llm-pruner[importance=l2] 0.2", [5.0, 5.0]),
    ]
    found = ratios.judged(claim_of("owl"), lines, "m")
    assert found["seeds"] == [0] and found["texts"]["text"]["value"] == pytest.approx(math.exp(-0.3))
    assert "0.741" in table([found]) and "holds" in table([found])
    nothing = table([ratios.judged(claim_of("param-first"), lines, "m")])
    assert "not measured" in nothing and {row.count("|") for row in nothing.splitlines()} == {5}


def test_all_texts_together_are_all_of_their_windows():
    texts = {"a": [1.0, 1.2, 1.1], "b": [2.0]}
    recipes = claim_of("param-first").ours.name, claim_of("param-first").theirs.name
    lines = [
        line(recipes[0], []) | {"losses": texts},
        line(recipes[1], []) | {"losses": {name: [one + 0.1 for one in own] for name, own in texts.items()}},
    ]
    found = ratios.judged(claim_of("param-first"), lines, "m")
    assert found["value"] == pytest.approx(math.exp(-0.1)) and found["verdict"] == "holds"
    assert found["texts"]["b"]["verdict"] == "too little to tell"
    assert json.loads(json.dumps(as_json([found]), allow_nan=False))[0]["texts"]["b"]["low"] is None


def test_one_seed_is_the_paired_interval_over_windows():
    apart = [-0.1, 0.05, -0.3, -0.2]
    assert ratios.paired([apart]) == ratio(apart, [0.0] * 4)
    assert math.isnan(ratios.paired([[0.1], [0.2]]).low)


@pytest.mark.parametrize(
    ("of_windows", "of_seeds", "of_both", "windows", "seeds"),
    [(0.1, 0.0, 0.02, 16, 3), (0.1, 0.05, 0.02, 16, 3), (0.02, 0.1, 0.02, 16, 3), (0.1, 0.1, 0.1, 8, 2)],
)
def test_the_interval_covers_windows_and_seeds_that_were_not_drawn(
    of_windows, of_seeds, of_both, windows, seeds
):
    draw, covered = random.Random(7), 0
    for _ in range(400):
        shared = [draw.gauss(-0.2, of_windows) for _ in range(windows)]
        levels = [draw.gauss(0, of_seeds) for _ in range(seeds)]
        found = ratios.paired([[one + of + draw.gauss(0, of_both) for one in shared] for of in levels])
        covered += found.low <= math.exp(-0.2) <= found.high
    assert 0.9 <= covered / 400 <= 0.98


def test_seeds_that_agree_add_nothing_to_what_the_windows_say():
    """The same windows three times are no three times as many windows."""
    apart = [-0.1, 0.05, -0.3, -0.2, -0.15, 0.1]
    once, thrice = ratios.paired([apart]), ratios.paired([apart, apart, apart])
    assert thrice == pytest.approx(once, rel=1e-6)


# ---- what is measured


@pytest.fixture
def options(tmp_path):
    valid, test = tmp_path / "valid.txt", tmp_path / "test.txt"
    valid.write_text("one two three four five six seven " * 30)
    test.write_text("The held-out text speaks of other things, " * 30)
    return argparse.Namespace(
        model="tiny-llama", samples=32, length=512, calibration=str(valid), training=str(valid), seeds="0",
        held_out=[f"text={test}:12:2"], judge_length=1024, dtype="auto", eval="wiki-sample", eval_samples=1,
        eval_length=64, again=False, related=tmp_path / "related.jsonl", results=tmp_path / "held_out.jsonl", seed=0,
    )  # fmt: skip


@pytest.fixture
def made(monkeypatch):
    """Runs that are made, as the command line would be called; every judgement is the same."""
    found: list[list[str]] = []

    def run(command, then):
        found.append(command)
        result = {
            "kind": command[0], "run": f"run{len(found)}", "checkpoint": "folder", "sparsity": 0.5, "parameters": {},
            "seconds": {"total": 1.0}, "peak_rss_bytes": 1, "hardware": "", "dtype": "", "versions": {},
            "optimiser_steps": 1, "options": {}, "trained": {}, "steps": [], "generations": [{"tried": 3}],
            "training": {"text": "/home/me/valid.txt"}, "shrunk": {"heads": 2, "maps": []}, "pattern": "",
            "mean_relative_error": 0.1,
        }  # fmt: skip
        result["seconds"]["prune"] = 1.0
        return result, then(result)

    def losses(folder, texts, length):
        return {text.name: [1.0] * text.windows for text in texts}

    monkeypatch.setattr(runs, "_done", run)
    monkeypatch.setattr(measuring, "losses", losses)
    monkeypatch.setattr("benchmarks.accuracy.losses", losses)
    return found


def test_every_run_of_a_claim_is_made_once_and_never_again(options, made):
    measuring.measure(RECIPES, options)
    starts = {one.start.name for one in RECIPES if isinstance(one, Recovered)}
    assert len(made) == len({one.name for one in RECIPES} | starts)
    before = len(made)
    measuring.measure(RECIPES, options)
    assert len(made) == before
    options.seeds = "0,1"
    measuring.measure(RECIPES, options)
    assert len(made) == 2 * before and all(
        command[command.index("--seed") + 1] == "1" for command in made[before:]
    )
    lines = records.everything(options.results, options.related)
    for claim in CLAIMS:
        assert ratios.judged(claim, lines, options.model)["seeds"] == [0, 1], claim.name


def test_both_recoveries_go_on_from_the_same_pruned_model_in_equal_steps(options, made):
    claim = claim_of("spp")
    measuring.measure([claim.ours, claim.theirs], options)
    assert [command[0] for command in made] == ["prune", "recover", "recover"]
    assert [command[2] for command in made[1:]] == ["run1", "run1"]
    assert [one for one in made[1] if one != "spp"] == [one for one in made[2] if one != "lora"]


def test_what_stopped_in_the_middle_goes_on(options, made, monkeypatch):
    """The pruned start is gone with the run, so it is made again; what was judged is not."""
    claim = claim_of("spp")
    measuring.measure([claim.ours], options)
    measuring.measure([claim.ours, claim.theirs], options)
    assert [command[0] for command in made] == ["prune", "recover", "prune", "recover"]
    kept = options.related.read_text()
    assert len(kept.splitlines()) == 3 and '"text": "valid.txt"' in kept and "/home/me" not in kept


def test_no_run_reads_what_is_held_out(options, made):
    measuring.measure(RECIPES, options)
    for command in made:
        assert not any("test.txt" in word for word in command)
        assert command[command.index("--eval") + 1] == "wiki-sample"


@pytest.mark.parametrize("field", ["calibration", "training"])
def test_a_text_that_was_read_is_no_held_out_one(options, made, field):
    copy = Path(options.calibration).with_name("copy.txt")
    copy.write_text("Something else. " * 40 + "The held-out text speaks of other things, " * 30)
    setattr(options, field, str(copy))
    with pytest.raises(SystemExit, match=r"text shares .* words with .*copy\.txt"):
        measuring.measure(RECIPES, options)
    assert made == []


def test_words_in_common_count_from_a_run_of_some_length():
    text = " ".join(f"word{place}" for place in range(60))
    found = overlap.shared("x " + text[: text.index(" word30")] + " y", text)
    assert (found.words, found.shared) == (60, 30) and found.example.startswith("word0 word1 ")
    assert overlap.shared(text, " ".join(reversed(text.split()))).shared == 0
    assert overlap.shared(text, "WORD1 word2\n word3", run=3).shared == 3


def test_the_command_line_takes_every_run(options, made):
    """With the product's own defaults, but for what the recipe names."""
    measuring.measure(RECIPES, options)
    for command in made:
        asked = build_parser().parse_args(command)
        asked.policy = PRIVATE
        if command[0] == "prune":
            assert pruning_from(asked).method.name == asked.method
        elif command[0] == "recover":
            assert recovery_of(settings_from(asked.set) | {"name": asked.method}).name == asked.method
        else:
            assert (command[0], asked.keep, asked.minutes) == ("search", 0.8, 4)


# ---- the law


def curve_line(losses: list[float], recipe: str = "wanda 2:4, then spp", seed: int = 0) -> dict:
    trained = {"model_parameters": 135e6, "sparsity": 0.5, "dense_loss": 3.0, "warm_up": 2}
    steps = [{"step": 4 * place, "tokens": 1024 * place, "held_out": one} for place, one in enumerate(losses)]
    return line(recipe, [1.0], seed) | {"curve": {"trained": trained, "steps": steps}}


def power(places: int, floor: float = 3.5, beta: float = 0.5) -> list[float]:
    return [5.0] + [floor + 0.05 * (1024 * place / 1e6) ** -beta for place in range(1, places)]


def test_a_curve_that_follows_the_law_is_foretold():
    curves = [curve_line(power(26, 3 + seed / 10, 0.3 + seed / 10), seed=seed) for seed in range(4)]
    found = law.judged(curves, "m")
    assert found["verdict"] == "holds" and found["error"]["high"] < 1e-4 < found["level"]["low"]
    assert found["points"] == 4 * 8 and len(found["curves"]) == 4
    assert "holds" in table([found]) and "32 later points of 4 curves" in table([found])


def test_more_of_a_curve_is_no_more_curves():
    """Two curves give a wide interval, however many points they have."""
    found = law.judged([curve_line(power(26)), curve_line(power(60, 3.2, 0.3), seed=1)], "m")
    assert found["level"]["high"] > 4 * found["level"]["value"] > 0


def test_a_curve_that_stops_falling_is_not_foretold():
    """Two thirds fall by the law; then nothing changes, so that supposing that nothing does is right."""
    early = power(18)
    found = law.judged([curve_line(early + early[-1:] * 8), curve_line(early + early[-1:] * 9, seed=1)], "m")
    assert found["verdict"] == "does not hold" and found["value"] > 1


def test_one_curve_has_no_interval_and_a_short_one_is_left_out():
    assert law.judged([curve_line(power(26))], "m")["verdict"] == "too little to tell"
    assert law.judged([curve_line(power(4)), line("wanda 2:4", [1.0])], "m")["curves"] == []
    assert "not measured" in table([law.judged([], "m")])


def test_points_of_the_warm_up_are_left_out():
    assert [point.tokens for point in law.points_of(curve_line(power(4)))] == [1024, 2048, 3072]


# ---- names


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("spp", ["--method", "spp"]),
        ("lora[learning_rate=0.003]", ["--method", "lora", "--set", "learning_rate=0.003"]),
        ("apt[a=1;b.c=2]", ["--method", "apt", "--set", "a=1", "--set", "b.c=2"]),
    ],
)
def test_settings_in_brackets_are_flags(method, flags):
    assert runs.method_flags(method) == flags


def test_every_recipe_has_a_name_of_its_own():
    assert len({one.name for one in RECIPES}) == len(RECIPES)
    assert Recovered(Pruned("wanda", "2:4"), "spp", 100, 2, 128).name == (
        "wanda 2:4, then spp: 100 steps of 2 x 128 tokens"
    )
