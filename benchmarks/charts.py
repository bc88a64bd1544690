"""The charts of the documentation, as SVG: plain text, the same bytes from the same records."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.accuracy_tables import _allocation, usual_calibration
from benchmarks.judge import perplexity

# A palette that colour-blind people can tell apart (Okabe and Ito), on white in light and dark pages alike.
_LINES = (
    ("apt-joint", "loss", "apt-joint", "#d55e00"),
    ("alps", "uniform", "alps", "#0072b2"),
    ("sparsegpt", "uniform", "sparsegpt", "#009e73"),
    ("wanda", "uniform", "wanda", "#cc79a7"),
    ("apt", "uniform", "apt", "#000000"),
)
_SHARES = ("0.5", "0.6", "0.7", "0.8")
_WIDE, _HIGH, _LEFT, _TOP, _GAP = 250, 260, 56, 60, 56
_LOW, _MOST = 10, 2000  # of the axis


def perplexity_over_sparsity(lines: Sequence[dict]) -> str:
    """One panel a text, perplexity on a logarithmic axis; methods that were measured at 50% alone are a dot."""
    usual = usual_calibration(lines)
    runs = [line for line in lines if line["calibration"] == usual and line["seed"] == 0]
    dense = next(line for line in runs if line["method"] == "dense")
    texts = list(dense["losses"])
    shapes = []
    for place, text in enumerate(texts):
        left = _LEFT + place * (_WIDE + _GAP)
        shapes += _panel(left, text, perplexity(dense["losses"][text]).value)
        for method, allocation, _, colour in _LINES:
            found = {
                line["pattern"]: perplexity(line["losses"][text]).value
                for line in runs
                if line["method"] == method and _allocation(line) == allocation and line["pattern"] in _SHARES
            }
            points = [
                (_x(left, share), _y(found[share]))
                for share in _SHARES
                if share in found and found[share] <= _MOST
            ]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            shapes += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    key = _LEFT
    for _, allocation, title, colour in _LINES:
        shapes.append(f'<circle cx="{key + 5}" cy="18" r="5" fill="{colour}"/>')
        shapes.append(_text(key + 14, 22, title + (" (by loss)" if allocation == "loss" else "")))
        key += 28 + 8 * len(title) + (62 if allocation == "loss" else 0)
    shapes.append(f'<path d="M{key} 18h22" stroke="#777" stroke-dasharray="4 3"/>')
    shapes.append(_text(key + 28, 22, "dense"))
    width = _LEFT + len(texts) * (_WIDE + _GAP) - _GAP + 16
    return _svg(width, _TOP + _HIGH + 44, shapes, "Perplexity over sparsity on three texts; lower is better")


def _panel(left: int, title: str, dense: float) -> list[str]:
    bottom = _TOP + _HIGH
    shapes = [_text(left, _TOP - 12, title, "font-weight='bold'")]
    for value in (10, 20, 50, 100, 200, 500, 1000, 2000):
        y = _y(value)
        shapes.append(f'<path d="M{left} {y:.1f}h{_WIDE}" stroke="#e3e3e3"/>')
        shapes.append(_text(left - 6, y + 4, f"{value:,}", "text-anchor='end' fill='#555'"))
    for share in _SHARES:
        shapes.append(_text(_x(left, share), bottom + 18, f"{float(share):.0%}", "text-anchor='middle'"))
    shapes.append(_text(left + _WIDE / 2, bottom + 36, "sparsity", "text-anchor='middle' fill='#555'"))
    shapes.append(f'<path d="M{left} {_y(dense):.1f}h{_WIDE}" stroke="#777" stroke-dasharray="4 3"/>')
    return shapes


def seconds(record: dict) -> str:
    """Bars: seconds of pruning, SmolLM2 135M at 50%."""
    runs = [(run["method"], run["prune_seconds"]) for run in record["runs"] if run["pattern"] == "50%"]
    longest = max(taken for _, taken in runs)
    shapes = []
    for place, (method, taken) in enumerate(sorted(runs, key=lambda run: run[1])):
        y, width = 14 + 30 * place, 420 * taken / longest
        shapes.append(_text(190, y + 15, method, "text-anchor='end'"))
        shapes.append(f'<rect x="198" y="{y}" width="{width:.1f}" height="20" fill="#0072b2"/>')
        shapes.append(_text(204 + width, y + 15, f"{taken:.1f} s"))
    return _svg(700, 20 + 30 * len(runs), shapes, "Seconds of pruning at 50%")


def claims(found: Sequence[dict]) -> str:
    """Each claim as its ratio of perplexities with its interval on a logarithmic axis; below 1 it holds."""
    ratios = [one for one in found if "texts" in one]
    left, wide, low, high = 520, 340, 0.25, 4.0
    bottom = 24 + 26 * len(ratios)

    def place(value: float) -> float:
        inside = min(max(value, low), high)
        return left + wide * math.log(inside / low) / math.log(high / low)

    shapes = []
    for value in (0.25, 0.5, 1, 2, 4):
        x, colour = place(value), "#555" if value == 1 else "#e3e3e3"
        shapes.append(f'<path d="M{x:.1f} 12V{bottom}" stroke="{colour}"/>')
        shapes.append(_text(x, bottom + 18, f"{value:g}", "text-anchor='middle' fill='#555'"))
    colours = {"holds": "#009e73", "does not hold": "#d55e00"}
    for row, one in enumerate(ratios):
        y, colour = 26 + 26 * row, colours.get(one["verdict"], "#777")
        shapes.append(_text(left - 12, y + 4, _short(one["claim"]), "text-anchor='end' font-size='11'"))
        if not low <= one["value"] <= high:
            outside, anchor = (left + 4, "start") if one["value"] < low else (left + wide - 4, "end")
            arrow = f"← {one['value']:.2g}" if one["value"] < low else f"{one['value']:.3g} →"
            shapes.append(_text(outside, y + 4, arrow, f"text-anchor='{anchor}' fill='{colour}'"))
            continue
        shapes.append(
            f'<path d="M{place(one["low"]):.1f} {y}H{place(one["high"]):.1f}" stroke="{colour}" stroke-width="2"/>'
        )
        shapes.append(f'<circle cx="{place(one["value"]):.1f}" cy="{y}" r="4.5" fill="{colour}"/>')
    shapes.append(
        _text(left + wide / 2, bottom + 36, "ratio of perplexities", "text-anchor='middle' fill='#555'")
    )
    return _svg(left + wide + 40, bottom + 46, shapes, "Claims of related papers as ratios of perplexities")


def _short(claim: str) -> str:
    return (claim if len(claim) <= 88 else claim[:86].rsplit(" ", 1)[0] + " …").replace("&", "&amp;")


def _x(left: float, share: str) -> float:
    first, last = float(_SHARES[0]), float(_SHARES[-1])
    return left + 14 + (_WIDE - 28) * (float(share) - first) / (last - first)


def _y(value: float) -> float:
    return _TOP + _HIGH * (1 - math.log(value / _LOW) / math.log(_MOST / _LOW))


def _text(x: float, y: float, said: str, how: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{said}</text>'


def _svg(width: float, height: float, shapes: Sequence[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{title}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )
