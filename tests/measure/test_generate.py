"""Common random numbers: what differs comes from the models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from apt_core.base.errors import BadText
from apt_core.base.paths import ASSETS
from apt_core.events.asking import is_cut
from apt_core.measure.decoding import Decoder
from apt_core.measure.generate import alone, beside, duel, pick
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


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_two_models_that_write_one_after_the_other_write_what_they_write_in_lock_step(
    dense, other, tokenizer, temperature
):
    question = Question(prompt="Hello there", max_tokens=24, temperature=temperature, seed=5)

    def written(model):
        steps = alone(model, tokenizer, question, "dense")
        while True:
            try:
                assert next(steps).total == 24
            except StopIteration as end:
                return end.value

    for made in (dense, other):
        together = list(duel(dense, made, tokenizer, question))[-1]
        apart = beside(written(dense), written(made))
        assert apart.model_copy(update={"seconds": together.seconds}) == together


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


def test_picking_follows_the_vocabulary_order_and_the_draw():
    logits = torch.tensor([0.1, 0.6, 0.2, 0.1]).log()
    drawn = {0.0: 0, 0.09: 0, 0.11: 1, 0.69: 1, 0.71: 2, 0.89: 2, 0.91: 3, 0.999: 3}
    assert {draw: pick(logits, 1.0, 1.0, draw) for draw in drawn} == drawn
    assert pick(logits, 1.0, 0.5, 0.99) == 1  # the tail is cut
    assert pick(logits, 1.0, 0.7, 0.8) == 2  # the likeliest two, in the order of the vocabulary
    assert pick(logits, 0, 1.0, 0.99) == 1
    draws = torch.rand(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = torch.bincount(torch.tensor([pick(logits, 1.0, 1.0, float(u)) for u in draws]), minlength=4)
    assert torch.allclose(counts / 4000, logits.exp(), atol=0.03)


def inverse_cdf(logits, temperature, top_p, draw):
    """The oracle, in numpy: the quantile of the distribution over token ids."""
    p = np.exp(logits / temperature - np.max(logits / temperature))
    p /= p.sum()
    if top_p < 1:
        likeliest = np.argsort(-p, kind="stable")
        enough = np.searchsorted(np.cumsum(p[likeliest]), top_p) + 1
        p[likeliest[enough:]] = 0
    return int(np.searchsorted(np.cumsum(p) / p.sum(), draw, side="right"))


@given(
    st.lists(st.floats(-8, 8), min_size=1, max_size=30),
    st.floats(0.05, 2),
    st.sampled_from([0.3, 0.9, 1.0]),
    st.floats(0, 1, exclude_max=True),
)
def test_picking_is_the_inverse_of_the_cumulative_distribution(logits, temperature, top_p, draw):
    picked = pick(torch.tensor(logits, dtype=torch.float64), temperature, top_p, draw)
    wanted = inverse_cdf(np.array(logits), temperature, top_p, draw)
    if picked != wanted:  # a draw on the very border between two tokens may fall to either side
        nearby = {
            inverse_cdf(np.array(logits), temperature, top_p, min(max(draw + e, 0), 1 - 1e-12))
            for e in (-1e-9, 1e-9)
        }
        assert picked in nearby


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 0.2))
def test_two_models_part_only_where_their_distributions_do(draw, moved):
    """With one number for both, they differ exactly where the number falls between their cumulative distributions."""
    p, q = np.array([0.3, 0.3, 0.4]), np.array([0.3, 0.3 + moved, 0.4 - moved])
    ours, theirs = (pick(torch.tensor(each).log(), 1.0, 1.0, draw) for each in (p, q))
    between = 0.6 + 1e-9 < draw < 0.6 + moved - 1e-9
    if between:
        assert (ours, theirs) == (2, 1)
    elif not 0.6 - 1e-9 <= draw <= 0.6 + moved + 1e-9:
        assert ours == theirs


def test_a_token_of_probability_zero_is_never_picked():
    logits = torch.tensor([0.0, 0.0, -torch.inf])
    assert pick(logits, 1.0, 1.0, 1 - 2**-53) == 1
    assert pick(torch.tensor([-torch.inf, 0.0]), 1.0, 1.0, 0.0) == 1


def test_every_model_of_a_question_draws_the_same_numbers(dense, other, tokenizer):
    """Each of three writes what it writes when asked alone with the same seed."""
    question = Question(prompt="Hello there", max_tokens=24, temperature=1.0, top_p=1.0, seed=5)
    together = list(duel(dense, other, tokenizer, question, [dense, other]))[-1]
    alone = list(duel(other, other, tokenizer, question))[-1]
    texts = [side.text for side in together.sides]
    assert texts[0] == texts[2] and texts[1] == texts[3] == alone.dense and texts[0] != texts[1]
    at = together.first_divergence
    assert at is not None and [side.first_divergence for side in together.sides] == [None, at, None, at]


def test_the_stream_of_three_adds_up(dense, other, tokenizer):
    question = Question(prompt="Hello there", max_tokens=12, temperature=1.0, seed=5)
    *steps, answer = duel(dense, other, tokenizer, question, [dense])
    for place, side in enumerate(answer.sides):
        assert "".join(step.texts[place] or "" for step in steps) == side.text
        assert is_cut(side, question) == (side.tokens == 12)


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
