"""The 2:4 kernels of torch.sparse: whether they take a model's layers, and the model with its weights in their format.

They need an NVIDIA GPU of compute capability 8.0 or newer, half precision, and shapes that fit their tiles; whatever
they refuse they refuse in torch's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

_OF, _KEPT = 4, 2
_ROWS = (16, 1)  # of the inputs that a trial multiplies: a prompt, a token
_REFUSALS = (RuntimeError, ValueError, TypeError, AssertionError, ImportError)


def is_two_of_four(weight: Tensor) -> bool:
    """weight: [out, in]. Whether no four neighbours of a row hold more than two that are not zero."""
    if weight.ndim != 2 or weight.shape[1] % _OF:
        return False
    return int((weight.detach().view(-1, _OF) != 0).sum(dim=1).max()) <= _KEPT


class Taken(NamedTuple):
    """layers: those that the kernels multiply. why: what they said of the first shape that they refused."""

    layers: list[nn.Linear]
    why: str = ""


def taken(layers: Sequence[nn.Linear]) -> Taken:
    """Of these layers those that are 2:4 and of a shape that the kernels multiply, for a prompt and for one token."""
    said: dict[tuple[int, ...], str] = {}
    found, why = [], ""
    for layer in filter(lambda one: is_two_of_four(one.weight), layers):
        shape = tuple(layer.weight.shape)
        if shape not in said:
            said[shape] = _refusal(layer)
        if said[shape]:
            why = why or said[shape]
        else:
            found.append(layer)
    return Taken(found, why or ("" if found else "no layer of the model is 2:4"))


def _refusal(layer: nn.Linear) -> str:
    """Torch's message in one line; empty where it was multiplied."""
    dtype, device = layer.weight.dtype, layer.weight.device
    try:
        with sparse_weights([layer]), torch.no_grad():
            for rows in _ROWS:
                layer(torch.ones(rows, layer.in_features, dtype=dtype, device=device))
    except _REFUSALS as error:
        return _in_one_line(error)
    return ""


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class Refused(Exception):
    """What was said of a model whose layers had been taken one by one, in one line."""


@contextmanager
def sparse_turn(layers: Sequence[nn.Linear]) -> Iterator[None]:
    """`sparse_weights` for what the whole model computes inside; raises Refused for what goes wrong with them, be it
    for want of memory."""
    try:
        with sparse_weights(layers):
            yield
    except (*_REFUSALS, MemoryError) as error:
        raise Refused(_in_one_line(error)) from error


@contextmanager
def sparse_weights(layers: Sequence[nn.Linear]) -> Iterator[None]:
    """Inside, the weights of these layers, which are 2:4, are in the kernels' format, and F.linear uses them.

    Raises what torch raises where it refuses one; the weights are then, as at the end, what they were.
    """
    before: list[tuple[nn.Linear, nn.Parameter]] = []
    try:
        for layer in layers:
            before.append((layer, cast(nn.Parameter, layer.weight)))
            layer.weight = nn.Parameter(_compressed(layer.weight), requires_grad=False)
        yield
    finally:
        for layer, weight in before:
            layer.weight = weight


def _compressed(weight: Tensor) -> Tensor:
    return cast(Tensor, torch.sparse.to_sparse_semi_structured(weight.detach().contiguous()))
