"""Candidates compared once compensated: as the cut model into which an independent ridge regression was written."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import contextmanager

import pytest
import torch
from searches import READ, drained, opened_for, record, search
from transformers import AutoModelForCausalLM

from apt_core.events.records import summary
from apt_core.execute.search_judge import judge_of
from apt_core.execute.search_population import asked
from apt_core.execute.search_space import importance_of, made
from apt_core.families import UNLISTED, family_of
from apt_core.jobs import read_job
from apt_core.maths import least_squares
from apt_core.maths.kept_sets import Draws
from apt_core.models.checkpoint.reshaped import write_reshaped
from apt_core.passes.genomes import Chances, first_ones
from apt_core.passes.masked import Judge, Masked
from tests.families import tiny_families

COMPENSATED, MASKED = {"judge": "compensated"}, {"judge": "masked"}


@torch.no_grad()
def perplexity(model, windows):
    logits = model(input_ids=windows, use_cache=False).logits[:, :-1].float()
    return math.exp(torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()))


@contextmanager
def judging(given, space, held_out):
    with given.opened.store.scratch(given.context.folder) as scratch:
        yield drained(judge_of(given, given.job.evolution, space, held_out, scratch("inverses")))


def genomes_of(given, space, count=2):
    importance = drained(importance_of(given, space))
    return importance, first_ones(
        space.start, space.allowed, importance, count, Chances(0.5, 0.5, Draws()), 0
    )


def grams(given, names):
    """Of what these layers read in the dense model, by a plain forward pass."""
    found, hooks = {}, []
    for layer in given.opened.layers:
        if layer.name in names:

            def add(_, inputs, key=(layer.block, layer.name)):
                rows = inputs[0].flatten(0, -2).double()
                found[key] = found.get(key, 0) + rows.T @ rows

            hooks.append(layer.module.register_forward_pre_hook(add))
    with torch.no_grad():
        given.opened.model(input_ids=given.first, use_cache=False)
    for hook in hooks:
        hook.remove()
    return found


def compensated_by_hand(given, space, genome, dampening):
    """Write W_K + W_P G_PK (G_KK + lambda I)^-1 into the output projections, in float64; zeros in what goes."""
    found = grams(given, {one.members[-1].layer for one in space.structures})
    columns = space.masked(genome).columns
    for layer in given.opened.layers:
        read = columns.get((layer.block, layer.name))
        if read is None:
            continue
        gram, kept, weight = found[layer.block, layer.name], read.bool(), layer.matrix.double()
        damped = gram + dampening * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
        cross = weight[:, ~kept] @ gram[~kept][:, kept]
        weight[:, kept] += torch.linalg.solve(damped[kept][:, kept], cross.T).T
        weight[:, ~kept] = 0
        layer.write_(weight.float())


def check(model, tmp_path, **more):
    evolution = more.pop("evolution", {}) | COMPENSATED
    job = search(model, weights="memory", evolution=evolution, **more)
    given, space, held_out = opened_for(job, tmp_path)
    _, genomes = genomes_of(given, space)
    dense = {name: one.clone() for name, one in given.opened.model.state_dict().items()}
    plain_judge = Judge(given.opened.model, given.opened.store, held_out, given.entering(held_out), 2)
    with judging(given, space, held_out) as judge:
        for genome in genomes:
            seen = drained(judge.perplexity(space.masked(genome)))
            after = given.opened.model.state_dict()
            assert all(torch.equal(one, after[name]) for name, one in dense.items()), "nothing is left of it"
            compensated_by_hand(given, space, genome, job.evolution.dampening)
            by_hand = Masked(genome.kept_blocks, {})
            assert seen == pytest.approx(drained(plain_judge.perplexity(by_hand)), rel=1e-3)
            if len(genome.kept_blocks) == len(given.opened.store.blocks):
                assert seen == pytest.approx(perplexity(given.opened.model, held_out), rel=1e-3)
            given.opened.model.load_state_dict(dense)
    return genomes


def test_a_candidate_is_measured_with_projections_that_make_up_for_what_goes(tmp_path):
    check("tiny-llama", tmp_path, keep=0.7)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["phi3", "gpt2", "opt", "falcon"])
def test_so_it_is_where_weights_are_transposed_or_have_biases(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "model")
    check(folder, tmp_path, keep=0.7, evolution={"tolerance": 0.1})


def test_from_disk_a_candidate_is_measured_as_from_memory(tmp_path):
    seen = []
    for weights in ("memory", "disk"):
        job = search("tiny-llama", weights=weights, keep=0.7, evolution=COMPENSATED)
        (tmp_path / weights).mkdir()
        given, space, held_out = opened_for(job, tmp_path / weights)
        _, genomes = genomes_of(given, space)
        with judging(given, space, held_out) as judge:
            seen.append([drained(judge.perplexity(space.masked(one))) for one in genomes])
        assert not list((tmp_path / weights).iterdir())
    assert seen[0] == pytest.approx(seen[1], rel=1e-4)


@pytest.mark.slow
def test_it_is_nearer_to_what_is_made_than_masking_is(tmp_path):
    """On the held-out windows, for a narrower model and one without some blocks."""
    for place in range(2):
        found = {}
        for judge in (COMPENSATED, MASKED):
            given, space, held_out = opened_for(
                search("tiny-llama", keep=0.7, weights="memory", evolution=judge), tmp_path
            )
            importance, genomes = genomes_of(given, space)
            with judging(given, space, held_out) as judges:
                found[judge["judge"]] = drained(judges.perplexity(space.masked(genomes[place])))
        planned = drained(made(given, space, importance, genomes[place]))
        family = family_of(given.opened.store.blocks[0]) or UNLISTED
        target = write_reshaped(planned.changed, tmp_path / f"made-{place}", planned.edit, family)
        given.clean()
        model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
        loss = math.log(perplexity(model, held_out))
        near, far = (abs(math.log(found[one["judge"]]) - loss) for one in (COMPENSATED, MASKED))
        assert near < 0.5 * far


def test_what_cannot_be_factorised_takes_more_dampening_and_says_so(tmp_path, monkeypatch):
    real, levels = least_squares.inverse_gram, []

    def strict(gram, dampening):
        levels.append(dampening)
        if dampening < 0.05:
            raise least_squares.NotPositiveDefinite(dampening)
        return real(gram, dampening)

    monkeypatch.setattr("apt_core.execute.search_judge.inverse_gram", strict)
    run = record(search(evolution=COMPENSATED, generations=0), tmp_path)
    said = [one.message for one in run.warnings if "used 0.1" in one.message]
    assert len(said) == len([one for one in levels if one == pytest.approx(0.1)]) > 0


def test_a_run_says_how_its_candidates_were_compared(tmp_path):
    for judge in (COMPENSATED, MASKED):
        run = record(search(evolution=judge, generations=1), tmp_path / judge["judge"])
        assert run.status == "finished"
        assert summary(run)["search"]["judge"] == run.search.judge == judge["judge"]


def test_a_search_of_an_earlier_version_is_still_masked_and_goes_on(tmp_path):
    """It asked for what is `masked` now, and its population was kept under the same words."""
    stored = search(calibration=READ).model_dump(mode="json") | {"schema_version": 1}
    del stored["evolution"]["judge"]
    old = read_job(stored)
    assert old.evolution.judge == "masked" and old.schema_version == 2
    assert asked(old) != asked(search(calibration=READ, evolution=COMPENSATED))
    same = {name: stored[name] for name in ("model", "keep", "evolution", "calibration", "seed")}
    assert asked(old) == hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()
