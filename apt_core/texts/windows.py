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

    Encodes a growing prefix that ends where a paragraph, a line or a word does, and drops the last tokens of it: so a
    text without line breaks takes no more memory than another.
    """
    reach = (wanted + _MARGIN) * _CHARACTERS_PER_TOKEN
    while (cut := _paragraph_border(text, reach)) < len(text):
        tokens = encode(text[:cut])[:-_MARGIN]
        if len(tokens) >= wanted:
            return tokens
        reach = 2 * max(reach, cut)
    return encode(text)


def _paragraph_border(text: str, reach: int) -> int:
    """Where to cut behind `reach`, at twice of it at the latest: at the end of a paragraph, of a line, of a word,
    and of a text without any of them at `reach` itself; the text's length when that comes first."""
    latest = 2 * reach
    for border in ("\n\n", "\n", " "):
        if (found := text.find(border, reach, latest)) >= 0:
            return found
    return len(text) if len(text) <= latest else reach
