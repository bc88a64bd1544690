"""Numbers and sentences as the page says them: plain, short, exact. Pure functions, no gradio.

Figures carry three significant digits with their unit; what is not known is a dash, never 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apt_core.events import Diverged, Rounded
    from apt_core.events.records import RunRecord

DASH = "–"

STATUS_WORDS = {
    "queued": "waiting",
    "running": "running",
    "stopping": "stopping",
    "finished": "finished",
    "failed": "failed",
    "cancelled": "stopped",
}

# Upper ends of the bands of pruned / dense perplexity.
_BANDS = ((1.05, "hardly changed"), (1.25, "slightly worse"), (2.0, "clearly worse"), (5.0, "badly hurt"))
_SMALL_NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)


def nearest(wrong: str, known: Iterable[str]) -> str:
    """ " Did you mean 'wanda'?", empty where nothing known is like it."""
    found = get_close_matches(wrong.strip().lower(), list(known), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


def number(value: float | None) -> str:
    """Three significant digits: 22.26 -> '22.3', 0.01312 -> '0.0131', 12345 -> '12,300'."""
    if value is None:
        return DASH
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    rounded = float(f"{value:.3g}")  # first, so that 99.96 is written 100 and not 100.0
    digits = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{digits}f}"


def percent(fraction: float | None) -> str:
    """0.5 -> '50%', 0.3333 -> '33.3%'; never rounds what is not all up to 100%."""
    if fraction is None:
        return DASH
    text = f"{fraction:.1%}"
    if text == "100.0%" and fraction < 1:
        return "99.9%"
    return text.replace(".0%", "%")


def count(value: float | None) -> str:
    """134515008 -> '135 million', 12345 -> '12,345'."""
    if value is None:
        return DASH
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{number(value / size)} {word}"
    return f"{round(value):,}"


def short_count(value: float | None) -> str:
    """As the Hub writes it, where room is scarce: 494032768 -> '494M'."""
    if value is None:
        return DASH
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{number(value / size)}{letter}"
    return str(round(value))


def size(n_bytes: float | None) -> str:
    """Decimal units as disks are sold: 269060552 -> '269 MB'."""
    if n_bytes is None:
        return DASH
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{number(n_bytes / unit)} {name}"
    return f"{round(n_bytes)} bytes"


def duration(seconds: float | None) -> str:
    """0.312 -> '0.31 s', 4.21 -> '4.2 s', 75 -> '1 min 15 s', 7500 -> '2 h 5 min'."""
    if seconds is None:
        return DASH
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def left(seconds: float | None) -> str:
    """A remaining time, rounded so that it does not flicker: 'about 40 s left'."""
    if seconds is None:
        return ""
    if seconds < 5:
        return "a few seconds left"
    if seconds < 57.5:
        return f"about {round(seconds / 5) * 5} s left"
    if seconds < 3570:
        minutes = max(1, round(seconds / 60))
        return f"about {minutes} min left"
    return f"about {duration(round(seconds / 60) * 60)} left"


def times(ratio: float | None) -> str:
    """A factor as written beside figures: 1.568 -> '1.57 ×'."""
    return DASH if ratio is None else f"{number(ratio)} ×"


def fold(factor: float) -> str:
    """8.2 -> 'eightfold', 31 -> '31-fold', 1.4 -> '1.4-fold'."""
    whole = round(factor)
    if abs(factor - whole) > 0.25 and factor < 3:
        return f"{factor:.1f}-fold"
    if 2 <= whole < len(_SMALL_NUMBERS):
        return f"{_SMALL_NUMBERS[whole]}fold"
    return f"{number(factor)}-fold"


def tally(amount: int) -> str:
    """3 -> 'three', 13 -> '13'."""
    return _SMALL_NUMBERS[amount] if amount < len(_SMALL_NUMBERS) else str(amount)


def verdict(ratio: float) -> str:
    """The band of a perplexity ratio, in two words."""
    if math.isnan(ratio):
        return "broken"
    return next((words for bound, words in _BANDS if ratio < bound), "broken")


def verdict_sentence(record: RunRecord, title: str, text: str) -> str:
    """The verdict in one large line: how much worse, on which text, what by which method. text: its title."""
    if record.ratio is None:
        return f"{title} was pruned; its perplexity was not measured on both sides."
    words = verdict(record.ratio)
    verb, method = "has" if words == "hardly changed" else "is", record.job.labels[0]
    return f"{title} {verb} {words} on {text} after {method} removed {share(record.sparsity)} of its layer weights."


def agreement(found: Diverged) -> str:
    """'agrees with the dense model on 87.3% of next tokens (95% CI 86 to 88.6%), KL 0.0412'"""
    between = (
        ""
        if found.agreement_low is None
        else f" (95% CI {percent(found.agreement_low)} to {percent(found.agreement_high)})"
    )
    return (
        f"agrees with the dense model on {percent(found.agreement)} of next tokens{between}, "
        f"KL {number(found.kl)} nats a token"
    )


def rounding(found: Rounded) -> str:
    """'4 bits by round to nearest, not GPTQ or AWQ; 4.13 bits a weight with scales, 87.1 MB'"""
    return (
        f"{found.bits} bits by round to nearest, not GPTQ or AWQ; {found.bits_per_weight:.4g} bits a weight with "
        f"scales, {size(found.n_bytes)}"
    )


def share(fraction: float | None) -> str:
    """0.5 -> 'half', 0.75 -> 'three quarters', 0.333 -> '33.3%'."""
    known = {0.25: "a quarter", 0.5: "half", 0.75: "three quarters"}
    near = next((word for value, word in known.items() if abs((fraction or 0) - value) < 5e-4), None)
    return near or ("none" if fraction == 0 else percent(fraction))


def place_in_line(position: int | None) -> str:
    """0 means that nothing is ahead."""
    if position is None or position <= 0:
        return "Next to start."
    if position == 1:
        return "Waiting in line: one run is ahead."
    return f"Waiting in line: {position} runs are ahead."


def sentence(text: str) -> str:
    """First letter up unless the first word is a name such as notes.txt, one full stop at the end."""
    text = " ".join(str(text).split())
    if not text:
        return ""
    first = text.split(" ", 1)[0].rstrip(",:;")
    start = text[:1].upper() if first.isalpha() else text[:1]
    return start + text[1:] + ("" if text[-1] in ".!?" else ".")


def file_title(path: str) -> str:
    """The name of a file, without its folder and without the hash in front of what a visitor brought: who knows that
    hash can use the text."""
    return re.sub(r"^[0-9a-f]{12}-", "", path.replace("\\", "/").rsplit("/", 1)[-1])


def shortened(text: str, most: int = 160) -> str:
    """On one line, of so many characters at most."""
    words = " ".join(text.split())
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"
