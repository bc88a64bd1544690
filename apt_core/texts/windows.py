"""Token windows cut from a text: non-overlapping, the tail dropped, only as much tokenised as they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from apt_core.base.errors import BadText
from apt_core.base.lazy import lazy

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase
else:
    torch = lazy("torch")

_CHARACTERS_PER_TOKEN = 5  # a first guess, doubled until it is enough
_MARGIN = 256  # tokens beside a cut are not trusted: what follows can change them


def token_windows(
    tokenizer: PreTrainedTokenizerBase, text: str, length: int, samples: int, opening: int | None = None
) -> torch.Tensor:
    """The first `samples` non-overlapping windows of the tokenised text, integers [n, length] with 1 <= n <= samples.

    The same windows as of tokenising the whole text with the tokenizer's defaults and dropping the tail, but
    only as much of a long text is tokenised as they need. `opening`: the token that begins every window, for
    families that need one; the text then fills the rest of it. Raises BadText when there is not one window.
    """
    of_text = length if opening is None else length - 1
    tokens = first_tokens(lambda part: _encode(tokenizer, part), text, samples * of_text + 1)
    if opening is not None and tokens[:1] == [opening]:
        tokens = tokens[1:]  # the tokenizer's own, before the first window
    windows = min(samples, len(tokens) // of_text)
    if windows == 0:
        raise BadText(
            f"The text is too short: it has {len(tokens):,} tokens and one window needs {length:,}; "
            "choose a longer text or shorter windows."
        )
    cut = torch.tensor(tokens[: windows * of_text], dtype=torch.long).reshape(windows, of_text)
    return cut if opening is None else torch.nn.functional.pad(cut, (1, 0), value=opening)


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """All tokens, special ones as the tokenizer adds them, without its remark on long inputs."""
    return tokenizer(text, truncation=False, return_attention_mask=False, verbose=False)["input_ids"]


def first_tokens(encode: Callable[[str], list[int]], text: str, wanted: int) -> list[int]:
    """At least the first `wanted` tokens of encode(text) (all of them when there are fewer).

    Encodes a growing prefix that ends at a paragraph border, and drops the last tokens of it.
    """
    reach = (wanted + _MARGIN) * _CHARACTERS_PER_TOKEN
    while (cut := _paragraph_border(text, reach)) < len(text):
        tokens = encode(text[:cut])[:-_MARGIN]
        if len(tokens) >= wanted:
            return tokens
        reach = 2 * max(reach, cut)
    return encode(text)


def _paragraph_border(text: str, reach: int) -> int:
    """The end of the first paragraph that ends at or after `reach`; the text's length when there is none."""
    border = text.find("\n\n", reach)
    if border < 0:
        border = text.find("\n", reach)
    return len(text) if border < 0 else border
