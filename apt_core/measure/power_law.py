"""Power laws of post-training: how the loss falls with the tokens that a pruned model was trained on.

    L = L0 + rho^-gamma N^-delta (N_C / N^alpha + D_C / D^beta + E)          P2 law, arXiv 2411.10272

N: parameters before pruning, in billions; D: tokens of training, in millions; rho: share of these parameters that is
gone, as zeros or with whole structures; L0: the dense model's loss on the same windows. What several sizes and
sparsities do not identify is left out of the form (`form_for`); a single curve determines a + b D^-beta alone. No
torch.

Fitted by robust least squares from several starts, positive constants as logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
optimize: Any = lazy("scipy.optimize")

MILLION, BILLION = 1e6, 1e9
_STARTS = 16
_TRIES, _FIRST_TRIES = 120, 20  # evaluations of one least-squares fit: to the end, and of a start
_POLISHED = 3  # of the starts
_DEEP = 3.0  # times the fall that was seen: a floor that much below it was not seen
_LOG_REACH = 25.0  # of a positive constant, either way
_LEAST_SCALE = 1e-4  # nats: below it residuals are no noise
_SAME_SIZE, _SAME_SPARSITY = 0.02, 0.005  # that near counts as one
_NEGLIGIBLE = 1e-3  # nats that a constant must be able to move to be asked for


class Point(NamedTuple):
    """A point of a recovery's curve. dense_loss: None where it is not known."""

    run: str
    tokens: float
    loss: float
    parameters: float = 0.0
    sparsity: float = 0.0
    dense_loss: float | None = None


class Data(NamedTuple):
    """Points as columns; D in millions, N in billions."""

    tokens: Numbers
    loss: Numbers
    size: Numbers
    sparsity: Numbers
    dense: Numbers

    @classmethod
    def of(cls, points: Sequence[Point]) -> Data:
        columns = zip(
            *(
                (
                    one.tokens / MILLION,
                    one.loss,
                    max(one.parameters, 1.0) / BILLION,
                    max(one.sparsity, 1e-6),
                    one.dense_loss if one.dense_loss is not None else np.nan,
                )
                for one in points
            ),
            strict=True,
        )
        return cls(*(np.array(column, dtype=np.float64) for column in columns))


class Form(NamedTuple):
    """What can be fitted. positive: the constants that are searched for as logarithms. predict: (constants by name,
    data) -> loss."""

    name: str
    formula: str
    constants: tuple[str, ...]
    positive: frozenset[str]
    predict: Callable[[dict[str, Any], Data], Numbers]


def _alone(c: dict[str, Any], data: Data) -> Numbers:
    return np.asarray(c["floor"] + c["b"] * data.tokens ** -c["beta"])


def _by_sparsity(c: dict[str, Any], data: Data) -> Numbers:
    bracket = c["D_C"] * data.tokens ** -c["beta"] + c["E"]
    return np.asarray(data.dense + data.sparsity ** -c["gamma"] * bracket)


def _by_size(c: dict[str, Any], data: Data) -> Numbers:
    bracket = c["D_C"] * data.tokens ** -c["beta"] + c["E"]
    return np.asarray(data.dense + data.size ** -c["delta"] * bracket)


def _by_both(c: dict[str, Any], data: Data) -> Numbers:
    bracket = c["D_C"] * data.tokens ** -c["beta"] + c["E"]
    return np.asarray(data.dense + data.sparsity ** -c["gamma"] * data.size ** -c["delta"] * bracket)


def _whole(c: dict[str, Any], data: Data) -> Numbers:
    bracket = c["N_C"] * data.size ** -c["alpha"] + c["D_C"] * data.tokens ** -c["beta"] + c["E"]
    return np.asarray(data.dense + data.sparsity ** -c["gamma"] * data.size ** -c["delta"] * bracket)


ALONE = Form("curve", "L = a + b D^-beta", ("floor", "b", "beta"), frozenset({"floor", "b", "beta"}), _alone)
BY_SPARSITY = Form(
    "sparsity",
    "L = L0 + rho^-gamma (D_C / D^beta + E)",
    ("gamma", "D_C", "beta", "E"),
    frozenset({"D_C", "beta", "E"}),
    _by_sparsity,
)
BY_SIZE = Form(
    "size",
    "L = L0 + N^-delta (D_C / D^beta + E)",
    ("delta", "D_C", "beta", "E"),
    frozenset({"D_C", "beta", "E"}),
    _by_size,
)
BY_BOTH = Form(
    "size and sparsity",
    "L = L0 + rho^-gamma N^-delta (D_C / D^beta + E)",
    ("gamma", "delta", "D_C", "beta", "E"),
    frozenset({"D_C", "beta", "E"}),
    _by_both,
)
WHOLE = Form(
    "P2",
    "L = L0 + rho^-gamma N^-delta (N_C / N^alpha + D_C / D^beta + E)",
    ("gamma", "delta", "N_C", "alpha", "D_C", "beta", "E"),
    frozenset({"N_C", "alpha", "D_C", "beta", "E"}),
    _whole,
)


def form_for(points: Sequence[Point]) -> Form:
    """The largest form whose constants these sizes and sparsities identify."""
    sizes = _distinct([one.parameters for one in points], _SAME_SIZE, relative=True)
    sparsities = _distinct([one.sparsity for one in points], _SAME_SPARSITY)
    if sizes == 1 and sparsities == 1:
        return ALONE
    if any(one.dense_loss is None for one in points):
        raise BadInput(
            "Runs of several sizes or sparsities are fitted by how far they are from their dense models, and one of "
            "these runs does not know its dense model's loss; give runs of one size and one sparsity, or recover again."
        )
    if sizes == 1:
        return BY_SPARSITY
    if sparsities == 1:
        return BY_SIZE
    return WHOLE if sizes >= 3 and sparsities >= 2 else BY_BOTH


def _distinct(values: Sequence[float], apart: float, relative: bool = False) -> int:
    found: list[float] = []
    for value in sorted(values):
        reach = apart * max(abs(value), 1e-12) if relative else apart
        if not found or value - found[-1] > reach:
            found.append(value)
    return len(found)


class Fit(NamedTuple):
    """constants: by name. low, high: 95% of the bootstrap's fits. undetermined: the constants that it does not pin
    down. samples: the constants of the bootstrap's fits."""

    form: Form
    constants: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    undetermined: tuple[str, ...]
    error: float  # root mean square of the residuals, in nats
    samples: tuple[dict[str, float], ...] = ()

    def at(self, like: Point, tokens: float, constants: dict[str, float] | None = None) -> float:
        """The loss behind so many tokens, of a model like that of this point."""
        data = Data.of([like._replace(tokens=tokens)])
        return float(self.form.predict(constants or self.constants, data)[0])

    def tokens_for(self, like: Point, loss: float, constants: dict[str, float] | None = None) -> float | None:
        """How many tokens until the loss is this; None where it never is."""
        found = constants or self.constants
        floor = self.at(like, 1e30, found)
        fall = self.at(like, MILLION, found) - floor  # the term in D at D = 1
        if loss <= floor or fall <= 0:
            return None
        with np.errstate(over="ignore"):
            tokens = MILLION * np.float64(fall / (loss - floor)) ** (1 / found["beta"])
        return float(tokens) if np.isfinite(tokens) else None


def fit(points: Sequence[Point], form: Form | None = None, bootstraps: int = 0, seed: int = 0) -> Fit:
    """Raises BadInput where there are too few points for the form; losses that are not finite are left out."""
    points = [one for one in points if one.tokens > 0 and math.isfinite(one.loss)]
    if not points:
        raise BadInput("There is no point of a training curve to fit; recover a pruned model first.")
    form = form or form_for(points)
    needed = len(form.constants) + 2
    if len(points) < needed:
        raise BadInput(
            f"{form.formula} has {len(form.constants)} constants and needs at least {needed} points after the "
            f"warm-up, not {len(points)}; train for more steps."
        )
    data, drawn = Data.of(points), np.random.default_rng(seed)
    best = _best(form, data, drawn)
    found = _named(form, best)
    residuals = data.loss - form.predict(found, data)
    samples = [_named(form, one) for one in _resampled(form, data, best, residuals, bootstraps, drawn)]
    low, high = ({name: _quantile(samples, name, at) for name in form.constants} for at in (0.025, 0.975))
    return Fit(
        form=form,
        constants=found,
        low=low,
        high=high,
        undetermined=_undetermined(form, data, found, best, low, high) if samples else (),
        error=float(np.sqrt(np.mean(residuals**2))),
        samples=tuple(samples),
    )


def expected_fall(points: Sequence[tuple[float, float]]) -> float | None:
    """(tokens, loss) of one curve -> by how much as many tokens again would lower the loss; None before it is known."""
    points = [(tokens, loss) for tokens, loss in points if tokens > 0 and math.isfinite(loss)]
    if len(points) < len(ALONE.constants) + 3:
        return None
    found = fit([Point("", tokens, loss) for tokens, loss in points], ALONE)
    last = points[-1][0]
    like = Point("", last, 0.0)
    return found.at(like, last) - found.at(like, 2 * last)


# ---- how it is done


def _named(form: Form, theta: Numbers) -> dict[str, float]:
    return {
        name: float(np.exp(value) if name in form.positive else value)
        for name, value in zip(form.constants, theta, strict=True)
    }


def _best(form: Form, data: Data, drawn: np.random.Generator) -> Numbers:
    """The best of many starts, refined with the scale of its residuals."""
    starts = [_start(form, data, drawn) for _ in range(_STARTS)]
    rough = sorted(
        (_solved(form, data, start, 0.01, _FIRST_TRIES) for start in starts), key=lambda one: float(one.cost)
    )
    first = min(
        (_solved(form, data, one.x, 0.01) for one in rough[:_POLISHED]), key=lambda one: float(one.cost)
    )
    return np.asarray(_solved(form, data, first.x, _scale(first.fun)).x)


def _start(form: Form, data: Data, drawn: np.random.Generator) -> Numbers:
    reach = float(data.loss.max() - data.loss.min()) or 0.1
    guesses = {
        "floor": np.log(max(data.loss.min() * drawn.uniform(0.5, 1.0), 1e-3)),
        "b": np.log(reach) + drawn.normal(0, 2),
        "D_C": np.log(reach) + drawn.normal(0, 2),
        "N_C": np.log(reach) + drawn.normal(0, 2),
        "E": np.log(reach) + drawn.normal(-1, 2),
        "beta": np.log(drawn.uniform(0.1, 1.5)),
        "alpha": np.log(drawn.uniform(0.1, 1.5)),
        "gamma": drawn.uniform(-3, 0.5),
        "delta": drawn.uniform(-0.5, 0.5),
    }
    return np.array([guesses[name] for name in form.constants])


def _solved(form: Form, data: Data, start: Numbers, scale: float, tries: int = _TRIES) -> Any:
    """scipy's least squares, soft L1: a point far off counts less. Residuals that overflow count as large."""

    def residuals(theta: Numbers) -> Numbers:
        with np.errstate(all="ignore"):
            off = form.predict(_named(form, theta), data) - data.loss
        return np.nan_to_num(off, nan=1e3, posinf=1e3, neginf=-1e3).clip(-1e3, 1e3)

    bound = np.full(len(start), _LOG_REACH)
    return optimize.least_squares(
        residuals,
        start.clip(-bound + 1e-3, bound - 1e-3),
        bounds=(-bound, bound),
        loss="soft_l1",
        f_scale=scale,
        x_scale="jac",
        max_nfev=tries,
    )


def _scale(residuals: Numbers) -> float:
    """1.48 times the median absolute residual: the spread of the points that agree."""
    return float(max(1.4826 * np.median(np.abs(residuals)), _LEAST_SCALE))


def _resampled(
    form: Form, data: Data, best: Numbers, residuals: Numbers, times: int, drawn: np.random.Generator
) -> list[Numbers]:
    """Fits of the fitted curve with its residuals drawn anew, each from the best constants."""
    fitted, scale = data.loss - residuals, _scale(residuals)
    found = []
    for _ in range(times):
        again = data._replace(loss=fitted + drawn.choice(residuals, len(residuals)))
        found.append(
            np.asarray(_solved(form, again, best + drawn.normal(0, 0.05, len(best)), scale, _TRIES // 3).x)
        )
    return found


def _quantile(samples: Sequence[dict[str, float]], name: str, at: float) -> float:
    return float(np.quantile([one[name] for one in samples], at)) if samples else float("nan")


def _undetermined(
    form: Form,
    data: Data,
    found: dict[str, float],
    best: Numbers,
    low: dict[str, float],
    high: dict[str, float],
) -> tuple[str, ...]:
    """The constants that another fit of the same points puts far away: by more than a factor of ten, or 2 for an
    exponent that may be negative; and those that the curve answers to so alike that others can stand for them."""
    named = []
    for name in form.constants:
        wide = (
            high[name] > 10 * max(low[name], 1e-300) if name in form.positive else high[name] - low[name] > 2
        )
        if wide and _matters(form, data, found, name, high[name]):
            named.append(name)
    floor = "floor" if form is ALONE else "E"
    if floor not in named and _is_deep(form, data, found, low, high, floor):
        named.append(floor)
    return tuple(named) or _alike(form, data, best)


def _is_deep(
    form: Form, data: Data, found: dict[str, float], low: dict[str, float], high: dict[str, float], floor: str
) -> bool:
    """Is the loss behind endless training farther below the points than they have fallen themselves, several times, or
    is it uncertain by more than that fall?"""
    endless = data._replace(tokens=np.full_like(data.tokens, 1e30))
    with np.errstate(all="ignore"):
        at = [
            form.predict(found | {floor: value}, endless) for value in (found[floor], low[floor], high[floor])
        ]
    fall = float(data.loss.max() - data.loss.min())
    below, uncertain = np.max(data.loss.min() - at[0]), np.max(np.abs(at[2] - at[1]))
    return bool(below > _DEEP * fall or uncertain > fall)


def _matters(form: Form, data: Data, found: dict[str, float], name: str, other: float) -> bool:
    """Not where the constant is so small that no value of its interval moves the loss."""
    with np.errstate(all="ignore"):
        moved = np.abs(form.predict(found | {name: other}, data) - form.predict(found, data))
    return bool(np.nanmax(moved) > _NEGLIGIBLE)


def _alike(form: Form, data: Data, best: Numbers) -> tuple[str, ...]:
    """The constants along the direction in which the loss does not change, where there is one."""
    step = 1e-5
    columns = [
        (
            form.predict(_named(form, best + step * one), data)
            - form.predict(_named(form, best - step * one), data)
        )
        / (2 * step)
        for one in np.eye(len(best))
    ]
    with np.errstate(all="ignore"):
        _, values, directions = np.linalg.svd(np.nan_to_num(np.array(columns).T), full_matrices=False)
    if values[-1] > 1e-7 * max(values[0], 1e-300):
        return ()
    flat = np.abs(directions[-1])
    return tuple(name for name, part in zip(form.constants, flat, strict=True) if part > 0.3)
