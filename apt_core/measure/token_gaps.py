"""The dense answer run through pruned models: how likely each finds every token, given all before it.

    KL(dense || pruned) = sum over tokens t of the vocabulary of p_dense(t) (ln p_dense(t) - ln p_pruned(t)), in nats

at each place of the answer. Probabilities are the models' own, at temperature 1 and without top-p.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from time import perf_counter
from typing import Any, cast

import torch
from torch import Tensor, nn

from apt_core.base.errors import BadInput
from apt_core.base.limits import rows_of_logits
from apt_core.measure.decoding import last_places
from apt_core.measure.generate import check_fits, prompt_ids
from apt_core.measure.questions import Question, Scored, Scoring, TokenGap
from apt_core.measure.writing import Writing


@torch.no_grad()
def token_gaps(
    models: Sequence[nn.Module], tokenizer, question: Question, tokens: Sequence[int]
) -> Generator[Scoring | Scored, None, None]:
    """models: the dense one first. tokens: of the answer to the question. Yields Scoring again and again, then Scored.

    Raises BadInput where a model computes no finite numbers, BadText where prompt and answer are longer than it can
    read.
    """
    start = perf_counter()
    prompt = prompt_ids(tokenizer, question)
    check_fits(models[0], prompt, len(tokens))
    writing, found = Writing(tokenizer), list[TokenGap]()
    rows = rows_of_logits(cast(Any, models[0].config).get_text_config().vocab_size)
    for first in range(0, len(tokens), rows):
        part = tokens[first : first + rows]
        read = torch.tensor([*prompt, *tokens[: first + len(part) - 1]])
        logs = [_log_probabilities(model, read, len(part)) for model in models]
        found += _gaps(logs, part, writing)
        yield Scoring(done=len(found), total=len(tokens))
    yield Scored(tokens=tuple(found), seconds=perf_counter() - start)


def _log_probabilities(model: nn.Module, read: Tensor, places: int) -> Tensor:
    """[places, vocabulary]: of the tokens that follow each of the last `places` tokens of `read`."""
    device = next(model.parameters()).device
    keep = last_places(len(read), places)
    output = model(input_ids=read.to(device).unsqueeze(0), logits_to_keep=keep, use_cache=False)
    logs = output.logits[0, -places:].float().log_softmax(dim=-1)
    if not bool(logs.amax(dim=-1).isfinite().all()):
        raise BadInput(
            "One of these models computes no finite numbers, so its probabilities cannot be compared."
        )
    return logs


def _gaps(logs: Sequence[Tensor], tokens: Sequence[int], writing: Writing) -> list[TokenGap]:
    rows = torch.arange(len(tokens))
    chosen = [log[rows, torch.tensor(tokens)].exp().tolist() for log in logs]
    kls = [_kl(logs[0], log.to(logs[0].device)).tolist() for log in logs[1:]]
    return [
        TokenGap(
            text=writing.add(token),
            dense=min(1.0, chosen[0][place]),
            pruned=tuple(min(1.0, each[place]) for each in chosen[1:]),
            kl=tuple(max(0.0, each[place]) for each in kls),
        )
        for place, token in enumerate(tokens)
    ]


def _kl(dense: Tensor, pruned: Tensor) -> Tensor:
    """[places]: of log-probabilities [places, vocabulary]; a token that the dense model rules out adds nothing."""
    weights = dense.exp()
    return torch.where(weights > 0, weights * (dense - pruned), 0.0).sum(dim=-1, dtype=torch.float64)
