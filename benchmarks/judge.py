"""One evaluator for everybody: the negative log-likelihood of every window of some texts, for any folder of weights.

    python -m benchmarks.judge MODEL --text wikitext-2=test.txt:12:24 --length 1024

MODEL is a folder, or a name of the catalogue. A text is NAME=FILE:SKIP:WINDOWS: as many windows of the file as
WINDOWS says, behind the first SKIP. Prints {"NAME": [mean negative log-likelihood of each window]}. It goes through
transformers' own forward, not through the product's evaluation block by block, so that the two check each other.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from benchmarks.texts import as_file


class HeldOut(NamedTuple):
    """Windows of a text that nothing was chosen on."""

    name: str
    file: str
    skip: int  # windows in front of them
    windows: int

    @classmethod
    def parse(cls, text: str) -> HeldOut:
        """'wikitext-2=test.txt:12:24'"""
        name, _, rest = text.partition("=")
        file, skip, windows = rest.rsplit(":", 2)
        return cls(name, file, int(skip), int(windows))

    def __str__(self) -> str:
        return f"{self.name}={self.file}:{self.skip}:{self.windows}"


class Interval(NamedTuple):
    """A perplexity (or a ratio of two) with its 95% interval over windows."""

    value: float
    low: float
    high: float


def losses(model: str, texts: Sequence[HeldOut], length: int) -> dict[str, list[float]]:
    """Text -> mean negative log-likelihood of each window, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.judge", model, "--length", str(length)]
    for text in texts:
        command += ["--text", str(text)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def perplexity(of_windows: Sequence[float]) -> Interval:
    """exp of the mean loss, with the t interval of that mean over windows."""
    return _exponential(of_windows)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Perplexity over perplexity on the same windows: exp of the mean difference, with its paired t interval."""
    return _exponential([mine - other for mine, other in zip(ours, theirs, strict=True)])


def _exponential(values: Sequence[float]) -> Interval:
    from scipy.stats import t

    mean = fmean(values)
    if len(values) < 2:
        return Interval(math.exp(mean), math.nan, math.nan)
    reach = t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach))


def main() -> None:
    options = _options()
    texts = [HeldOut.parse(text) for text in options.text]
    print(json.dumps({text.name: _measure(options.model, text, options.length) for text in texts}))


def _measure(name: str, text: HeldOut, length: int) -> list[float]:
    import torch

    from apt_core.base.policy import PRIVATE
    from apt_core.families import opening_token
    from apt_core.texts.sources import load_text
    from apt_core.texts.windows import token_windows

    model, tokenizer = _loaded(name)
    opening = opening_token(model.config, tokenizer)
    content = load_text(as_file(text.file), "evaluation", policy=PRIVATE)
    windows = token_windows(tokenizer, content, length, text.skip + text.windows, opening)[text.skip :]
    found = []
    with torch.no_grad():
        for window in windows.to(model.device):
            logits = model(input_ids=window[None], use_cache=False).logits[0, :-1].float()
            found.append(float(torch.nn.functional.cross_entropy(logits, window[1:])))
    return [round(loss, 6) for loss in found]


_LOADED: dict[str, tuple] = {}


def _loaded(name: str) -> tuple:
    import apt_core

    if name not in _LOADED:
        _LOADED[name] = apt_core.load_model(name)
    return _LOADED[name]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--text", action="append", required=True, metavar="NAME=FILE:SKIP:WINDOWS")
    parser.add_argument("--length", type=int, default=1024)
    return parser.parse_args()


if __name__ == "__main__":
    main()
