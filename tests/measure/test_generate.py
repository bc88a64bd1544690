"""Common random numbers: what differs comes from the models."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from apt_core.base.errors import BadText
from apt_core.base.paths import ASSETS
from apt_core.measure.decoding import Decoder
from apt_core.measure.generate import duel, pick
from apt_core.measure.questions import Answered, Question

FOLDER = ASSETS / "models" / "tiny-random-llama"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture
def dense():
    return AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval().requires_grad_(False)


@pytest.fixture
def other(dense):
    """A model that says something else."""
    changed = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval().requires_grad_(False)
    torch.manual_seed(1)
    changed.model.layers[1].mlp.down_proj.weight.data.normal_()
    return changed


def ask(dense, pruned, tokenizer, **question):
    return list(duel(dense, pruned, tokenizer, Question(prompt="Hello there", max_tokens=24, **question)))


def test_the_same_model_twice_writes_the_same_text(dense, tokenizer):
    for temperature in (0, 1.0):
        answer = ask(dense, dense, tokenizer, temperature=temperature, seed=3)[-1]
        assert isinstance(answer, Answered)
        assert answer.dense == answer.pruned
        assert answer.first_divergence is None


def test_the_stream_adds_up_to_the_answer(dense, other, tokenizer):
    *steps, answer = ask(dense, other, tokenizer, temperature=1.0, top_p=1.0, seed=5)
    assert "".join(step.dense or "" for step in steps) == answer.dense
    assert "".join(step.pruned or "" for step in steps) == answer.pruned
    assert answer.first_divergence is not None
    assert answer.dense != answer.pruned


def test_the_seed_decides_and_is_not_the_process_wide_one(dense, tokenizer):
    first = ask(dense, dense, tokenizer, temperature=1.0, top_p=1.0, seed=1)[-1].dense
    torch.manual_seed(999)
    assert ask(dense, dense, tokenizer, temperature=1.0, top_p=1.0, seed=1)[-1].dense == first
    assert ask(dense, dense, tokenizer, temperature=1.0, top_p=1.0, seed=2)[-1].dense != first


def test_greedy_decoding_equals_transformers_generate(dense, tokenizer):
    ids = tokenizer("Hello there", return_tensors="pt")
    expected = dense.generate(**ids, do_sample=False, max_new_tokens=24)[0, ids.input_ids.shape[1] :]
    answer = ask(dense, dense, tokenizer, temperature=0, chat=False)[-1]
    assert answer.dense == tokenizer.decode(expected, skip_special_tokens=True)


def test_the_cache_gives_the_logits_of_a_full_pass(dense):
    tokens = torch.randint(0, 200, (12,))
    decoder = Decoder(dense)
    decoder.next_logits(tokens[:7])
    for token in tokens[7:]:
        logits = decoder.next_logits(token[None])
    with torch.no_grad():
        assert torch.allclose(logits, dense(tokens[None]).logits[0, -1], atol=1e-4)


def test_picking_follows_the_distribution_and_the_draw():
    logits = torch.tensor([0.1, 0.6, 0.2, 0.1]).log()
    assert pick(logits, 1.0, 1.0, 0.0) == 1
    assert pick(logits, 1.0, 1.0, 0.59) == 1
    assert pick(logits, 1.0, 1.0, 0.61) == 2
    assert pick(logits, 1.0, 1.0, 0.85) == 0  # ties by index
    assert pick(logits, 1.0, 1.0, 0.99) == 3
    assert pick(logits, 1.0, 0.5, 0.99) == 1  # the tail is cut
    assert pick(logits, 0, 1.0, 0.99) == 1
    draws = torch.rand(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = torch.bincount(torch.tensor([pick(logits, 1.0, 1.0, float(u)) for u in draws]), minlength=4)
    assert torch.allclose(counts / 4000, logits.exp(), atol=0.03)


def test_a_prompt_that_does_not_fit_is_refused(dense, tokenizer):
    question = Question(prompt="word " * 3000, max_tokens=8)
    with pytest.raises(BadText, match="reads at most"):
        next(duel(dense, dense, tokenizer, question))


def test_both_sides_end_at_their_end_token(dense, tokenizer):
    end = tokenizer.eos_token_id
    dense.lm_head.weight = torch.nn.Parameter(torch.zeros_like(dense.lm_head.weight), requires_grad=False)
    dense.generation_config.eos_token_id = [0, end]  # all logits equal: the most likely token is 0
    answer = ask(dense, dense, tokenizer, temperature=0)[-1]
    assert answer.dense_tokens == 0
    assert answer.dense == ""
