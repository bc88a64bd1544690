"""The arithmetic behind the published tables."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import pytest
from markupsafe import Markup

from apt_core.base.errors import OverQuota
from apt_core.jobs import make_job
from apt_core.reports import samples
from apt_core.runs import reader_words
from apt_core.runs.owners import Visitor
from apt_core.runs.quotas import Quotas
from apt_core.runs.store import Store
from apt_core.runs.usage import Usage
from apt_core.ui.tabs import read
from apt_core.ui.views.cards import sentence_card
from benchmarks import (
    accuracy,
    accuracy_tables,
    chaos,
    honest_table,
    load,
    load_visitors,
    many_runs,
    many_runs_worker,
    measured_methods,
)
from benchmarks.judge import HeldOut, perplexity, ratio

CALIBRATION = "32 x 512 tokens of valid.txt"


def line(method: str, pattern: str, losses: list[float], allocation: str = "", seed: int = 0, **more) -> dict:
    return {
        "model": "m", "method": method, "allocation": allocation, "pattern": pattern, "seed": seed,
        "calibration": CALIBRATION, "held_out": [["text", 12, len(losses)]], "window": 1024,
        "losses": {"text": losses}, "date": "2026-11-26T10:00:00+00:00",
    } | more  # fmt: skip


def test_the_interval_of_a_perplexity_covers_its_mean_95_times_in_100():
    draw, covered = random.Random(0), 0
    for _ in range(2000):
        found = perplexity([draw.gauss(3.0, 0.4) for _ in range(8)])
        covered += found.low <= math.exp(3.0) <= found.high
    assert 0.935 <= covered / 2000 <= 0.965


def test_a_paired_ratio_forgives_what_the_windows_share():
    draw = random.Random(1)
    shared = [draw.gauss(3.0, 1.0) for _ in range(24)]
    ours = [level + draw.gauss(-0.10, 0.02) for level in shared]
    found = ratio(ours, shared)
    assert found.low < math.exp(-0.10) < found.high < 0.95
    alone = perplexity(ours)
    assert math.log(found.high / found.low) < 0.1 * math.log(alone.high / alone.low)


def test_the_honest_table_has_a_dash_where_nothing_was_measured_and_no_factor_within_the_spread():
    speed = {"median": 100.0, "low": 90.0, "high": 110.0, "repeats": 3}
    faster = {"median": 200.0, "low": 199.0, "high": 201.0, "repeats": 3}
    row = {
        "sizes": {"on_disk": 1000, "compressed": None, "packed": 563},
        "evaluated": {"perplexity": 20.0, "low": 18.0, "high": 22.0},
        "diverged": {"kl": 0.1, "agreement": 0.9},
    }
    said = honest_table.table({
        "rows": [row | {"title": title} for title in ("dense", "pruned", "8 bits")],
        "speeds": {
            "dense": {"prefill": speed, "decode": speed},
            "pruned": {"prefill": faster, "decode": speed | {"median": 105.0}},
        },
        "conditions": {"words": "here"},
    }).splitlines()  # fmt: skip
    assert said[3].count("| – |") == 1 and "20.0 (18.0 to 22.0) | 0.100 | 90%" in said[3]
    assert "200 (199 to 201), 2.00 ×" in said[3] and said[3].endswith("difference not measurable now |")
    assert said[4].endswith("| – | – |") and said[2].count("×") == 0 and said[-1] == "here"


def test_the_map_is_told_perplexities_against_the_dense_model_and_what_structures_save():
    shared = {
        "model": "smollm2-135m",
        "seed": 0,
        "window": 1024,
        "calibration": "32 x 512 tokens of valid.txt",
    }
    dense = shared | {"method": "dense", "allocation": "", "pattern": "", "losses": {"wikipedia": [2.0, 3.0]}}
    ran = [
        shared
        | {"method": name, "allocation": allocation, "pattern": pattern, "losses": {"wikipedia": losses}}
        for name, allocation, pattern, losses in (
            ("wanda", "", "2:4", [3.0, 4.1]),
            ("wanda", "", "0.5", [2.4, 3.6]),
            ("wanda", "loss", "0.5", [9.0, 9.0]),
            ("other", "", "0.7", [9.0, 9.0]),
        )
    ]
    ran += [
        shared | {"recipe": recipe, "losses": {"wikipedia": losses}}
        for recipe, losses in (
            ("depth[criterion=influence] 0.25", [2.5, 3.5]),
            ("wanda 2:4", [3.0, 4.0]),
            ("wanda 2:4, then spp: 100 steps of 2 x 128 tokens", [2.25, 3.25]),
        )
    ]
    even, faster = (
        {"decode": {"median": at, "low": at - 1, "high": at + 1, "repeats": 3}} for at in (100.0, 125.0)
    )
    rows = [
        {"title": title, "method": method, "sizes": {"on_disk": size}}
        for title, method, size in (("dense", "dense", 1000), ("shorter", "depth", 800))
    ]
    honest = {
        "conditions": {"words": "m, bfloat16; here. More."},
        "rows": rows,
        "speeds": {"dense": even, "shorter": faster},
    }
    found = measured_methods.made([dense, *ran], honest)
    half, two_four = found.of("wanda")
    assert (half.setting, two_four.setting, half.size) == ("50%", "2:4", None)
    assert half.perplexity == pytest.approx(math.exp(0.5)) and half.low < half.perplexity < half.high
    assert two_four.perplexity == pytest.approx(math.exp(1.05))
    (shorter,) = found.of("depth")
    assert (shorter.size, shorter.speed) == (0.8, 1.25) and not found.of("other") and not found.of("dense")
    (trained,) = found.of("spp")
    assert (trained.before, trained.perplexity) == pytest.approx((math.e, math.exp(0.25)))
    same = honest | {"speeds": {"dense": even, "shorter": even}}
    assert measured_methods.made([dense, *ran], same).of("depth")[0].speed is None, (
        "no difference could be told"
    )


def test_one_window_has_no_interval():
    assert math.isnan(perplexity([3.0]).low)


def test_a_held_out_text_reads_its_own_name():
    text = HeldOut("wikitext-2", "some/test.txt", 12, 24)
    assert HeldOut.parse(str(text)) == text


@pytest.mark.parametrize(
    ("method", "allocation", "written"),
    [
        ("alps", "", "alps"),
        ("alps", "loss", "alps[allocation=loss]"),
        ("apt[mask.selection=M]", "uniform", "apt[mask.selection=M;allocation=uniform]"),
    ],
)
def test_an_allocation_is_a_setting(method, allocation, written):
    assert accuracy.with_allocation(method, allocation) == written


def test_the_newest_run_counts(tmp_path):
    file = tmp_path / "runs.jsonl"
    lines = [line("alps", "0.5", [3.0]), line("alps", "0.5", [2.0]), line("alps", "0.5", [1.0], seed=1)]
    file.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert [each["losses"]["text"] for each in accuracy_tables.read(file)] == [[2.0], [1.0]]


def test_the_table_says_what_is_due_to_the_allocation():
    dense = line("dense", "", [2.0, 2.2, 2.1])
    runs = [
        line("alps", "0.5", [2.5, 2.7, 2.6]),
        line("alps", "0.5", [2.4, 2.6, 2.5], "loss"),
        line("apt-joint", "0.5", [2.3, 2.5, 2.4]),
        line("apt-joint", "0.5", [2.45, 2.65, 2.55], "uniform"),
    ]
    table = accuracy_tables.paired_table([dense, *runs])
    assert "apt-joint (loss) / alps (uniform) | as each comes | 1 | 0.819" in table
    assert (
        "apt-joint (uniform) / alps (uniform) | same allocation: the solver and its target | 1 | 0.951"
        in table
    )
    assert "alps (loss) / alps (uniform) | same solver: the allocation alone | 1 | 0.905" in table
    whole = accuracy_tables.main_table([dense, *runs])
    assert (
        "| dense | | 8.17 |" in whole
        and "| alps | uniform | 13.46 |" in whole
        and "| apt-joint | loss | 11.02 |" in whole
    )


def test_a_pattern_leaves_an_allocation_nothing_to_share_out():
    dense = line("dense", "", [2.0, 2.2])
    runs = [line("alps", "2:4", [2.5, 2.8]), line("apt-joint", "2:4", [2.4, 2.6])]
    table = accuracy_tables.paired_table([dense, *runs])
    assert table.count("2:4") == 1
    assert "| apt-joint | uniform |" in accuracy_tables.main_table([dense, *runs])


def test_a_visitor_finds_the_events_of_the_page_by_name():
    page = load.Page({
        "components": [
            {"id": 1, "props": {"elem_id": "prune", "value": "Prune"}},
            {"id": 2, "props": {"value": 0.5}},
        ],
        "dependencies": [
            {"id": 7, "targets": [[1, "click"]], "inputs": [], "backend_fn": False},
            {"id": 8, "targets": [[1, "click"]], "inputs": [2], "backend_fn": True},
            {"id": 9, "targets": [[None, "load"]], "inputs": [], "backend_fn": True},
        ],
    })  # fmt: skip
    assert page.event("click", "prune") == (8, [0.5]) and page.event("load") == (9, [])
    with pytest.raises(LookupError):
        page.event("click", "nothing")


def test_percentiles_are_those_of_the_sorted_seconds():
    found = load.percentiles([number / 1000 for number in range(1001)])
    assert found == {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    assert math.isnan(load.percentiles([])["p95"]) and load.percentiles([0.2])["p99"] == 0.2


def test_what_goes_wrong_under_load_is_in_the_exit_status():
    one = {"p50": 0.1, "p95": 0.2, "p99": 0.3}
    found = {kind: one for kind in load.TARGETS}
    found |= {"visitors": 100, "rss_growth_bytes": 400_000_000, "files_growth": 100}
    assert load.missed(found) == [] and load.missed(found | {"poll": one | {"p95": 0.31}}) == ["poll"]
    assert load.missed(found | {"page": dict.fromkeys(one, float("nan"))}) == ["page"]
    assert load.missed(found | {"rss_growth_bytes": 400_000_001}) == ["rss_growth_bytes"]
    assert load.missed(found | {"files_growth": 101}) == ["files_growth"]


def test_memory_over_many_runs_is_judged_by_the_second_half_and_of_enough_of_them():
    looks = [
        many_runs.Look(100 * number, 300_000_000 + min(number, 5) * 10**8, 10) for number in range(1, 11)
    ]
    assert many_runs.kept(looks) == (0.0, 0)
    leak = [look._replace(rss=10**6 * look.runs, files=look.runs) for look in looks]
    bytes_each, files = many_runs.kept(leak)
    found = {"runs": 1000, "bytes_each": bytes_each, "files_growth": files, "unfinished": 0}
    assert many_runs.missed(found) == ["bytes_each", "files_growth"]
    assert many_runs.missed(found | {"runs": 999, "files_growth": 0, "unfinished": 1}) == ["unfinished"]


def test_the_worker_of_many_runs_writes_a_log_that_the_store_reads(tmp_path, monkeypatch):
    store = Store(tmp_path)
    run = store.create(make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude"))
    recorded = next(iter(samples.load().values()))
    told = [one.event.model_dump(mode="json") for one in recorded.events if one.event.kind != "queued"]
    (tmp_path / many_runs_worker.TEMPLATE).write_text(json.dumps(told))
    monkeypatch.setenv("APT_DATA", str(tmp_path))
    many_runs_worker.main(run)
    record = store.get(run)
    assert record.status == "finished" and len(record.layers) == 210


def test_of_a_hundred_visitors_twenty_start_and_five_ask():
    assert Counter(map(load.role_of, range(100))) == {"watch": 75, "start": 20, "ask": 5}
    assert "ask" in map(load.role_of, range(3)), "of a few one asks too"


def test_a_question_is_put_where_the_page_has_its_prompt():
    page = load.Page({
        "components": [
            {"id": 1, "props": {"elem_id": "ask"}},
            {"id": 2, "props": {"elem_id": "prompt", "value": ""}},
            {"id": 3, "props": {"value": 96}},
            {"id": 4, "props": {"elem_id": "seen", "value": None}},
        ],
        "dependencies": [{"id": 7, "targets": [[1, "click"]], "inputs": [4, 2, 3], "backend_fn": True}],
    })  # fmt: skip
    assert page.filled("click", "ask", prompt="Why?", seen={"run": "r"}) == (7, [{"run": "r"}, "Why?", 96])
    with pytest.raises(LookupError, match="temperature"):
        page.filled("click", "ask", temperature=1)


def test_a_sentence_of_a_quota_is_an_answer_and_any_other_an_error():
    visitor, found = Visitor(names=("v:ann",)), load_visitors.Found()
    usage = Usage(Quotas(questions_each=1, tokens_per_hour=100, looks_per_hour=1, runs_per_hour=1, waiting=1))
    held = usage.question(visitor, lambda: iter(()))
    for more in ({}, {"tokens": 101}, {"looks": 2}):
        with pytest.raises(OverQuota) as refused:
            usage.question(visitor, lambda: iter(()), **more)
        found.said("ask", str(refused.value))
    assert held is not None and len(found.refused) == 3 and not found.errors
    found.said("ask", str(Markup.escape(reader_words.BUSY.message)))
    found.said("ask", "There is no pruned model to ask here; prune one first.")
    assert len(found.refused) == 4 and sum(found.errors.values()) == 1


def test_the_sentence_of_a_refused_question_is_found_in_what_the_page_sends():
    line = read._line("You have one waiting for an answer.", bad=True)
    said = "data: " + json.dumps({"msg": "process_generating", "output": {"data": [line]}})
    assert load_visitors.WORDS_OF.findall(said) == ["You have one waiting for an answer."]
    card = json.dumps({"data": [str(sentence_card("No run is accepted now.", "model"))]})
    assert load_visitors.CARD_OF.findall(card) == ["No run is accepted now."]
    assert load_visitors.WORDS_OF.findall(json.dumps([read._line("The models are loaded.")])) == []


@pytest.mark.slow
def test_a_few_faults_lose_nothing(tmp_path):
    store = chaos.Chaos(tmp_path / "data", seed=1, small_disk=False)
    (tmp_path / "data").mkdir(exist_ok=True)
    try:
        store.throw(8, lambda number: None)
        store.settle()
    finally:
        store.end_app()
    assert not any(store.counts().values()), store.counts()
    assert sum(store.done.values()) == 8 and store.finished
