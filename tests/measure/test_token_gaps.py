"""The dense answer run through a pruned model, against what torch says of the whole text at once."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from apt_core.base.errors import BadInput, BadText
from apt_core.base.paths import ASSETS
from apt_core.measure import token_gaps as gaps
from apt_core.measure.generate import duel, prompt_ids
from apt_core.measure.questions import Question, Scored, Scoring

QUESTION = Question(prompt="Hello there", max_tokens=20, temperature=1.0, seed=4)


def a_model(name, change=0.0):
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "models" / name, dtype=torch.float32).eval()
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.requires_grad_(False).add_(change * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module", params=["tiny-random-llama", "tiny-mamba"])
def trio(request):
    """(dense, two others that say something else, tokenizer, tokens of the dense answer)."""
    name = request.param
    dense, near, far = (a_model(name, change) for change in (0.0, 0.02, 0.1))
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "models" / name)
    tokens = list(duel(dense, near, tokenizer, QUESTION))[-1].dense_ids
    return dense, near, far, tokenizer, tokens


def scored(models, tokenizer, tokens, question=QUESTION):
    *steps, last = gaps.token_gaps(models, tokenizer, question, tokens)
    assert isinstance(last, Scored) and all(isinstance(step, Scoring) for step in steps)
    return last


def test_probabilities_and_kl_are_those_of_one_pass_over_the_whole_text(trio):
    dense, near, far, tokenizer, tokens = trio
    found = scored([dense, near, far], tokenizer, tokens)
    prompt = prompt_ids(tokenizer, QUESTION)
    whole = torch.tensor([[*prompt, *tokens]])
    logs = [
        model(input_ids=whole).logits[0, len(prompt) - 1 : -1].log_softmax(-1) for model in (dense, near, far)
    ]
    for place, token in enumerate(tokens):
        gap = found.tokens[place]
        assert gap.dense == pytest.approx(float(logs[0][place, token].exp()), abs=1e-5)
        for side, log in enumerate(logs[1:]):
            kl = torch.nn.functional.kl_div(log[place], logs[0][place], log_target=True, reduction="sum")
            assert gap.pruned[side] == pytest.approx(float(log[place, token].exp()), abs=1e-5)
            assert gap.kl[side] == pytest.approx(float(kl), abs=1e-4)
    assert found.mean_kl(1) > found.mean_kl(0) > 0
    assert found.mean_kl(0) == pytest.approx(sum(gap.kl[0] for gap in found.tokens) / len(tokens))


def test_the_parts_of_a_long_answer_add_up_to_the_whole(trio, monkeypatch):
    dense, near, _, tokenizer, tokens = trio
    whole = scored([dense, near], tokenizer, tokens)
    monkeypatch.setattr(gaps, "rows_of_logits", lambda vocab: 3)
    steps = list(gaps.token_gaps([dense, near], tokenizer, QUESTION, tokens))
    assert [step.done for step in steps[:-1]] == [*range(3, len(tokens), 3), len(tokens)]
    for part, one in zip(steps[-1].tokens, whole.tokens, strict=True):
        assert part.text == one.text and part.kl[0] == pytest.approx(one.kl[0], abs=1e-4)


def test_a_model_against_itself_has_no_gap(trio):
    dense, *_, tokenizer, tokens = trio
    assert all(
        gap.kl == (0.0,) and gap.gap(0) == 0 for gap in scored([dense, dense], tokenizer, tokens).tokens
    )


def test_the_texts_of_the_tokens_add_up_to_the_answer(trio):
    dense, near, _, tokenizer, tokens = trio
    said = "".join(gap.text for gap in scored([dense, near], tokenizer, tokens).tokens)
    assert tokenizer.decode(tokens, skip_special_tokens=True).startswith(said) and said


def test_a_broken_model_is_a_sentence():
    dense, broken = a_model("tiny-random-llama"), a_model("tiny-random-llama")
    broken.lm_head.weight.fill_(torch.nan)
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "models" / "tiny-random-llama")
    with pytest.raises(BadInput, match="computes no finite numbers"):
        list(gaps.token_gaps([dense, broken], tokenizer, QUESTION, [1, 2]))


def test_what_the_model_cannot_read_is_refused(trio):
    dense, near, _, tokenizer, _ = trio
    room = getattr(dense.config, "max_position_embeddings", None)
    if room is None:
        pytest.skip("reads any length")
    with pytest.raises(BadText, match="reads at most"):
        next(gaps.token_gaps([dense, near], tokenizer, QUESTION, [1] * (room + 1)))
