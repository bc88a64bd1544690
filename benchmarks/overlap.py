"""Do two texts share sentences? Runs of words that both have.

    python -m benchmarks.overlap --read valid.txt --held-out wikitext-2=test.txt python-docs wikipedia

READ is what was calibrated or trained on, a held-out text what is judged on (its evaluation part, where it has two).
Texts are compared whole, which covers every window of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import NamedTuple

from apt_core.base.policy import PRIVATE
from apt_core.texts.sources import load_text
from benchmarks.texts import as_file

RUN = 20  # words: names, titles and set phrases are shorter


class Shared(NamedTuple):
    """Words of a held-out text, those inside a run that the other text has too, and the first such run."""

    words: int
    shared: int
    example: str


def shared(read: str, held_out: str, run: int = RUN) -> Shared:
    """How much of `held_out` is in runs of at least `run` words that `read` has as well; case and spaces aside."""
    known, words = set(_runs(read.lower().split(), run)), held_out.lower().split()
    inside, example = bytearray(len(words)), ""
    for place, one in enumerate(_runs(words, run)):
        if one in known:
            inside[place : place + run] = b"\1" * run
            example = example or one
    return Shared(len(words), sum(inside), example)


def _runs(words: list[str], run: int) -> Iterable[str]:
    return (" ".join(words[place : place + run]) for place in range(len(words) - run + 1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--read", required=True)
    parser.add_argument("--held-out", nargs="+", required=True)
    parser.add_argument("--run", type=int, default=RUN, help="words")
    options = parser.parse_args()
    read = load_text(as_file(options.read), "calibration", policy=PRIVATE)
    for name in options.held_out:
        found = shared(read, load_text(as_file(name), "evaluation", policy=PRIVATE), options.run)
        print(
            f"{name}: {found.shared} of {found.words:,} words in runs of {options.run} or more", found.example
        )


if __name__ == "__main__":
    main()
