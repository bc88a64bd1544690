"""How much goes, and in which shape: as values (the tensors are in `maths.pattern`)."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from apt_core.base.errors import BadPattern, one_sentence
from apt_core.base.values import Frozen

MAX_GROUP = 16


class Unstructured(Frozen):
    """Remove a fraction of the weights, wherever they are."""

    kind: Literal["unstructured"] = "unstructured"
    sparsity: float

    @field_validator("sparsity")
    @classmethod
    def _in_range(cls, sparsity: float) -> float:
        if not 0 <= sparsity < 1:
            raise ValueError(f"Sparsity {sparsity:g} is out of range: choose at least 0 and less than 1.")
        return sparsity

    @property
    def by_layer(self) -> bool:
        """Whether layers may lose different shares, the whole model this one."""
        return True

    @property
    def label(self) -> str:
        return f"{self.sparsity:.4%}".rstrip("%").rstrip("0").rstrip(".") + "%"

    def check_width(self, width: int, layer: str) -> None:
        """Any width can lose any fraction of its weights."""


class SemiStructured(Frozen):
    """Keep `keep` of every `of` neighbouring inputs of each output row (2:4 keeps 2 of 4).

    mixed: each layer has a number of its own, from 1 to `of` - 1, and the whole model keeps `keep` of every `of` on
    average. Such a model is not of the pattern `keep`:`of`: hardware that speeds up 2:4 does so in 2:4 layers alone.
    """

    kind: Literal["n:m"] = "n:m"
    keep: int
    of: int
    mixed: bool = False

    @model_validator(mode="after")
    def _kept_below_group(self) -> SemiStructured:
        if not 1 <= self.keep < self.of <= MAX_GROUP:
            raise ValueError(
                f"Pattern {self.keep}:{self.of} is not possible: N:M keeps N of every M weights, "
                f"with 1 <= N < M <= {MAX_GROUP} (for example 2:4)."
            )
        return self

    @property
    def sparsity(self) -> float:
        return 1 - self.keep / self.of

    @property
    def by_layer(self) -> bool:
        """Whether layers may keep different numbers."""
        return self.mixed

    @property
    def label(self) -> str:
        return f"{self.keep}:{self.of}{' mixed' if self.mixed else ''}"

    def of_layer(self, keep: int) -> SemiStructured:
        """The plain pattern of one layer."""
        return SemiStructured(keep=keep, of=self.of)

    def check_width(self, width: int, layer: str) -> None:
        """Raise BadPattern when a row of `width` inputs cannot be cut into whole groups."""
        if width % self.of:
            raise BadPattern(
                f"{self.label} needs input widths divisible by {self.of}, but {layer} has {width} inputs; "
                "choose another group size or unstructured sparsity."
            )


Pattern = Annotated[Unstructured | SemiStructured, Field(discriminator="kind")]


def parse_pattern(text: str) -> Unstructured | SemiStructured:
    """'2:4' -> SemiStructured(2, 4); '2:4 mixed' or '2:4-mixed', layers differing; '0.5' or '50%' -> Unstructured(0.5).

    Raises BadPattern with one sentence for anything else.
    """
    text = str(text).strip()
    try:
        if group := re.fullmatch(r"(-?\d+)\s*:\s*(-?\d+)([\s-]+mixed)?", text):
            return SemiStructured(keep=int(group[1]), of=int(group[2]), mixed=bool(group[3]))
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
        if 1 < value <= 100 and not text.endswith("%"):
            raise BadPattern(f"Sparsity {text} is out of range: did you mean {value / 100:g} or {value:g}%?")
        if not math.isfinite(value):
            raise BadPattern(f"Sparsity {text} is not a number between 0 and 1.")
        return Unstructured(sparsity=value)
    except ValidationError as error:
        raise BadPattern(one_sentence(error)) from error
    except ValueError as error:
        raise BadPattern(
            f"'{text}' is neither a sparsity such as 0.5 nor an N:M pattern such as 2:4."
        ) from error
