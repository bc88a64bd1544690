"""A search: candidates are measured as the models that they would make, and a stopped one goes on exactly."""

from __future__ import annotations

import errno
import math
import os
import signal
import time

import pytest
import torch
from recoveries import done, here
from safetensors.torch import load_file
from searches import READ, drained, events, opened_for, record, search
from transformers import AutoModelForCausalLM

from apt_core.base.errors import BadInput, BadOption, BadText
from apt_core.events import Generation
from apt_core.events.records import summary
from apt_core.execute import kept_tensors, training_state
from apt_core.execute.kept import TRAINING as STATE_FOLDER
from apt_core.execute.search_population import SearchState
from apt_core.execute.search_space import edit_of, importance_of, made
from apt_core.families import UNLISTED, family_of
from apt_core.maths.kept_sets import Draws
from apt_core.models.checkpoint.reshaped import write_reshaped
from apt_core.passes.genomes import Chances, first_ones, generator_of, mutated
from apt_core.passes.masked import Judge, Masked
from apt_core.runs import store as stores
from apt_core.runs.launcher import Launcher
from tests.families import tiny_families


def plain(folder):
    loaded, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    return loaded.eval()


@torch.no_grad()
def perplexity(model, windows):
    logits = model(input_ids=windows, use_cache=False).logits[:, :-1].float()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    return math.exp(loss)


def some_genomes(given, space, count=4):
    """Some that drop blocks, some that only are narrower."""
    importance = drained(importance_of(given, space))
    chances = Chances(0.5, 0.5, Draws(0.5, 20))
    found = first_ones(space.start, space.allowed, importance, 3, chances, 0)
    generator = generator_of(7, 1)
    found += [mutated(one, space.allowed, importance, chances, generator) for one in found]
    by_depth = {len(one.kept_blocks): one for one in found}
    return importance, [*by_depth.values(), *found[:count]][:count]


def check_against_checkpoints(model, tmp_path, count=4, **more):
    job = search(model, weights="memory", **more)
    given, space, held_out = opened_for(job, tmp_path)
    _, genomes = some_genomes(given, space, count)
    judge = Judge(given.opened.model, given.opened.store, held_out, given.entering(held_out), 2)
    before = {name: one.clone() for name, one in given.opened.model.state_dict().items()}
    for place, genome in enumerate(genomes):
        seen = drained(judge.perplexity(space.masked(genome)))
        edit = edit_of(given, space, genome).edit
        family = family_of(given.opened.store.blocks[0]) or UNLISTED
        target = write_reshaped(given.opened.folder, tmp_path / f"cut-{place}", edit, family)
        smaller = plain(target)
        assert seen == pytest.approx(perplexity(smaller, held_out), rel=1e-4)
        left = sum(
            one.numel()
            for name, one in smaller.state_dict().items()
            if one.ndim == 2 and ".layers." in f".{name}"
        )
        if any(".layers." in f".{name}" for name in smaller.state_dict()):
            assert left == space.budget.weights_of(genome.shape)
    after = given.opened.model.state_dict()
    assert all(torch.equal(one, after[name]) for name, one in before.items())  # nothing is left of the masks
    return {len(one.kept_blocks) for one in genomes}


def test_a_candidate_is_measured_as_the_model_that_it_would_make(tmp_path):
    depths = check_against_checkpoints("tiny-random-llama", tmp_path, keep=0.5, count=2)
    assert depths == {1, 2}  # one drops a block, one is narrower alone


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["qwen2", "qwen3", "phi3", "gemma3_text", "gpt2", "opt", "falcon", "smollm3"]
)
def test_so_it_is_in_every_kind_of_block(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "model")
    check_against_checkpoints(folder, tmp_path, keep=0.7, evolution={"tolerance": 0.1})


def test_the_masked_dense_model_is_the_dense_model(tmp_path):
    given, space, held_out = opened_for(search(weights="memory"), tmp_path)
    judge = Judge(given.opened.model, given.opened.store, held_out, given.entering(held_out), 2)
    whole = Masked(tuple(range(space.budget.blocks)), {})
    seen = drained(judge.perplexity(whole))
    assert seen == pytest.approx(perplexity(given.opened.model, held_out), rel=1e-5)


@pytest.mark.slow
def test_compensation_takes_over_for_what_went(tmp_path):
    """On the text that it is computed on, the compensated model is nearer to the dense one than the cut one is."""
    given, space, _ = opened_for(search("tiny-llama", keep=0.7), tmp_path)
    importance, genomes = some_genomes(given, space, 1)
    target = write_reshaped(
        given.opened.folder, tmp_path / "cut", edit_of(given, space, genomes[0]).edit, UNLISTED
    )
    cut = perplexity(plain(target), given.calibration)
    planned = drained(made(given, space, importance, genomes[0]))
    target = write_reshaped(planned.changed, tmp_path / "made", planned.edit, UNLISTED)
    assert perplexity(plain(target), given.calibration) < cut


def test_what_a_run_says_and_leaves(tmp_path):
    """One event a generation, the best never rises, every candidate is within the budget, the checkpoint is smaller."""
    run = record(search(), tmp_path)
    assert run.status == "finished"
    told = summary(run)
    assert told["kind"] == "search" and told["method"] == "search"
    assert [one["number"] for one in told["generations"]] == [0, 1, 2, 3]
    best = [one.best.perplexity for one in run.generations]
    assert best == sorted(best, reverse=True)
    for one in run.generations:
        assert len(one.population) == 5
        known = [member.perplexity for member in one.population]
        assert known == sorted(known) and known[0] <= one.start.perplexity
        for member in one.population:
            assert abs(member.parameters / run.search.parameters - 0.6) <= 0.02
    assert run.generations[-1].tried >= 5 + 3 * 2
    smaller = plain(tmp_path / "checkpoint")
    assert smaller.config.num_hidden_layers == run.generations[-1].best.blocks
    assert smaller.config.intermediate_size == run.generations[-1].best.channels
    assert sum(one.numel() for one in smaller.parameters()) == told["parameters"]["pruned"]
    assert told["sparsity"] == pytest.approx(0.4, abs=0.02)
    assert {"dense", "start", "pruned"} <= told["perplexity"].keys()
    assert all(told["perplexity"][one] > 1 for one in ("dense", "start", "pruned"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["checkpoint"]


@pytest.mark.parametrize("best", ["the first", "the last"])
def test_the_start_is_measured_beside_what_was_found(tmp_path, monkeypatch, best):
    """Where nothing better is found both are the same model, so the same perplexity; else each has its own."""
    numbers = iter(range(1, 99) if best == "the first" else range(99, 1, -1))

    def judged(self, candidate):
        yield None
        return float(next(numbers))

    monkeypatch.setattr(Judge, "perplexity", judged)
    run = record(search(generations=0, evolution={"population": 2}), tmp_path)
    last = run.generations[-1]
    assert (last.best == last.start) == (best == "the first")
    assert (run.start.losses == run.pruned.losses) == (best == "the first")
    assert run.start.windows == run.pruned.windows == 2


@pytest.mark.slow
def test_the_same_seed_searches_the_same(tmp_path):
    def curve(seed, folder):
        found = record(search(seed=seed, generations=2), tmp_path / folder)
        return [one.population for one in found.generations], load_file(
            tmp_path / folder / "checkpoint" / "model.safetensors"
        )

    (one, first), (again, second), (other, _) = curve(1, "a"), curve(1, "b"), curve(2, "c")
    assert one == again and all(torch.equal(first[name], second[name]) for name in first)
    assert one != other


def test_the_minutes_end_a_search(tmp_path, monkeypatch):
    """However many generations were asked for: the one that is under way ends with what it has measured."""
    ticks = iter(range(10**6))
    monkeypatch.setattr("apt_core.execute.search_population.perf_counter", lambda: next(ticks))
    run = record(search(generations=10_000, minutes=0.2), tmp_path)
    assert run.status == "finished"
    assert 12 <= run.generations[-1].seconds < 14
    assert len(run.generations) < 10


# ---- stopping, going on, faults


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("search")
        patch.setenv("APT_CACHE", str(folder / "cache"))
        yield here(patch, folder)


def stopped_at(job, store, folder, generation):
    """Close the run once this generation is there: what Stop does."""
    work = events(job, folder, store)
    for event in work:
        if isinstance(event, Generation) and event.number == generation:
            work.close()
            return
    raise AssertionError("it ended before")


def test_a_stopped_search_goes_on_as_if_nothing_had_happened(store, tmp_path):
    """Populations and weights are those of the search that was not stopped."""
    whole = done(store, search(generations=2))
    stopped = store.create(search(generations=2))
    store.request_cancel(stopped)
    folder = tmp_path / "run"
    folder.mkdir()
    stopped_at(search(generations=2), store, folder, 1)
    assert not list(folder.glob("*checkpoint*"))
    (folder / STATE_FOLDER).rename(store.folder(stopped) / STATE_FOLDER)
    rest = done(store, search(generations=2, resume=stopped))
    assert rest.status == "finished", rest.failure
    assert rest.search.generation == 1
    assert [one.population for one in rest.generations] == [one.population for one in whole.generations]
    assert [one.tried for one in rest.generations] == [one.tried for one in whole.generations]
    one, other = (load_file(store.checkpoint(run.id) / "model.safetensors") for run in (whole, rest))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (store.folder(rest.id) / STATE_FOLDER).exists()


@pytest.mark.slow
def test_a_bound_that_is_reached_already_makes_the_best_so_far(store, tmp_path):
    """What was stopped need not go on searching: with the generations it has, it only makes its best."""
    stopped = store.create(search())
    store.request_cancel(stopped)
    folder = tmp_path / "run"
    folder.mkdir()
    stopped_at(search(), store, folder, 1)
    (folder / STATE_FOLDER).rename(store.folder(stopped) / STATE_FOLDER)
    run = done(store, search(resume=stopped, generations=1))
    assert run.status == "finished", run.failure
    assert [one.number for one in run.generations] == [0, 1]


@pytest.mark.slow
def test_another_search_is_not_gone_on_from(store, tmp_path):
    stopped = store.create(search())
    store.request_cancel(stopped)
    folder = tmp_path / "run"
    folder.mkdir()
    stopped_at(search(), store, folder, 0)
    (folder / STATE_FOLDER).rename(store.folder(stopped) / STATE_FOLDER)
    for other in ({"seed": 5}, {"keep": 0.7}, {"evolution": {"population": 6}}):
        run = done(store, search(resume=stopped, **other))
        assert run.status == "failed" and "searched something else" in run.failure.message
    (store.folder(stopped) / STATE_FOLDER / "state.safetensors").write_bytes(b"torn")
    run = done(store, search(resume=stopped))
    assert run.status == "failed" and "cannot be read" in run.failure.message


def test_a_full_disk_leaves_the_population_that_was_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr("apt_core.execute.search_population._KEEP_SECONDS", -1.0)
    work, kept, warned = events(search(generations=4), tmp_path, store), 0, []
    real = kept_tensors.save_file
    for event in work:
        warned += [event.message] if event.kind == "warned" else []
        if isinstance(event, Generation) and event.number == 1:
            kept = training_state.recall(tmp_path / STATE_FOLDER, SearchState)[0].tried
            monkeypatch.setattr(kept_tensors, "save_file", _full)
        if isinstance(event, Generation) and event.number == 3:
            work.close()
    monkeypatch.setattr(kept_tensors, "save_file", real)
    assert kept and training_state.recall(tmp_path / STATE_FOLDER, SearchState)[0].tried == kept
    assert sum("cannot be kept" in one for one in warned) == 1, "and the search went on"
    assert not list(tmp_path.glob("*checkpoint*"))


def test_a_search_ends_when_there_is_nothing_left_to_try(tmp_path, monkeypatch):
    monkeypatch.setattr("apt_core.execute.search_population.children", lambda *_: [])
    found = [event for event in events(search(generations=50), tmp_path) if isinstance(event, Generation)]
    assert len(found) == 6


def _full(*_, **__):
    raise OSError(errno.ENOSPC, "the disk is full")


@pytest.mark.slow
def test_a_killed_worker_s_search_goes_on_from_its_last_population(tmp_path, monkeypatch):
    """SIGKILL in the middle: the run has failed, another one goes on from what it kept."""
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    store = stores.Store()
    launcher = Launcher(store, interval=0.05)
    run_id = store.create(search("tiny-llama", generations=2000, keep=0.7))
    launcher.tick()
    state = store.folder(run_id) / STATE_FOLDER / "state.safetensors"
    until = time.monotonic() + 120
    while not state.exists() and time.monotonic() < until:
        time.sleep(0.2)
        launcher.tick()
    with store.index.read() as rows:
        pid = rows.get(run_id).pid
    os.kill(pid, signal.SIGKILL)
    record_ = launcher.wait(run_id)
    assert record_.status == "failed"
    reached = len(training_state.recall(store.training_of(run_id), SearchState)[0].generations)
    again = search("tiny-llama", generations=reached, keep=0.7, resume=run_id)
    rest = launcher.wait(store.create(again))
    assert rest.status == "finished", rest.failure
    assert rest.search.generation == reached - 1
    assert len(rest.generations) == reached + 1


# ---- what cannot work


@pytest.mark.parametrize("model", ["tiny-mamba"])
def test_a_model_without_groups_is_refused(model, tmp_path):
    with pytest.raises(BadInput, match="no attention heads or MLP channels"):
        record(search(model), tmp_path)


def test_an_impossible_budget_is_refused_before_anything_is_measured(tmp_path):
    said = []
    with pytest.raises(BadOption, match="the nearest keeps"):
        for event in events(search(evolution={"multiple": 100, "tolerance": 1e-6}), tmp_path):
            said.append(event.kind)
    assert "evaluated" not in said


def test_what_candidates_are_chosen_by_is_not_what_the_result_is_measured_on(tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 400)
    mine = {"calibration": READ | {"text": str(text)}}
    with pytest.raises(BadText, match="Search and evaluation read the same text"):
        record(search(**mine, evaluation={"text": str(text), "samples": 2, "length": 32}), tmp_path / "run")
    given, _, held_out = opened_for(search(), tmp_path / "windows")
    rows = {tuple(one.tolist()) for one in given.calibration}
    assert not rows & {tuple(one.tolist()) for one in held_out}


def test_too_few_windows_are_a_sentence(tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("Only a few words, and no more than that. " * 8)
    job = search(calibration=READ | {"text": str(text), "held_out": 50})
    with pytest.raises(BadText, match="50 are held out"):
        record(job, tmp_path / "run")


@pytest.mark.slow
def test_what_a_run_begins_with_is_said_first(tmp_path):
    kinds = [event.kind for event in events(search(generations=1), tmp_path)]
    assert kinds.index("search_began") < kinds.index("generation") < kinds.index("shrunk")
    assert kinds[-1] == "finished"
