"""A run before it happens: frozen data that round-trips JSON."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_serializer, field_validator

from apt_core.base.errors import BadInput, one_sentence
from apt_core.base.patterns import Pattern, SemiStructured
from apt_core.base.values import Frozen
from apt_core.methods import Method, make_method

MAX_TEXT_NAME = 500
Value = TypeVar("Value", bound=Frozen)


class ModelRef(Frozen):
    """A catalogue name, a local folder of safetensors, or a Hub id (`owner/name`)."""

    id: str = Field(min_length=1, max_length=MAX_TEXT_NAME)
    revision: str | None = None


class Calibration(Frozen):
    """Which text the statistics come from, and how much of it.

    `text` is a name from `calibration.TEXTS`, a path of a UTF-8 file, or `hub:<dataset>[:<config>[:<split>]]`.
    """

    text: str = Field(
        default="wikipedia",
        min_length=1,
        max_length=MAX_TEXT_NAME,
        title="Calibration text",
        description="From the list, or a dataset of the Hub such as hub:owner/name",
        json_schema_extra={"control": "text"},
    )
    samples: int = Field(default=32, ge=1, le=4096, title="Samples")
    length: int = Field(default=512, ge=16, le=32768, title="Tokens each")


class Evaluation(Frozen):
    """Which text perplexity is measured on; windows do not overlap, the tail is dropped."""

    text: str = Field(
        default="wikipedia",
        min_length=1,
        max_length=MAX_TEXT_NAME,
        title="Evaluation text",
        json_schema_extra={"control": "text"},
    )
    samples: int = Field(default=12, ge=1, le=4096, title="Windows")
    length: int = Field(default=1024, ge=16, le=32768, title="Tokens each")


class Recipe(Frozen):
    """Everything that decides the result of a run."""

    model: ModelRef = Field(title="Model", json_schema_extra={"control": "model"})
    method: Method = Field(title="Method", json_schema_extra={"control": "method"})
    pattern: Pattern = Field(
        default=SemiStructured(keep=2, of=4), title="Pattern", json_schema_extra={"control": "pattern"}
    )
    calibration: Calibration = Calibration()
    evaluation: Evaluation = Evaluation()
    seed: int = Field(
        default=0,
        ge=0,
        le=2**32 - 1,
        description="0 calibrates on the first windows of the text; any other number draws windows",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", title="Device")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(default="auto", title="Precision")
    weights: Literal["auto", "memory", "disk"] = Field(
        default="auto",
        title="Weights",
        description="memory keeps the whole model there; disk one decoder block at a time, and little else; "
        "auto goes by what is free",
    )
    optional_layers: bool = Field(
        default=False,
        title="Optional layers",
        description="also prune what a family leaves dense by default: dt_proj of Mamba, Falcon Mamba and Jamba",
    )

    @field_validator("method", mode="before")
    @classmethod
    def _method_from_registry(cls, value: Any) -> Any:
        """{"name": "apt", "mask": {"block_size": 128}} -> the method."""
        if isinstance(value, str):
            return make_method(value)
        if isinstance(value, dict):
            options = dict(value)
            return make_method(options.pop("name", "apt"), options)
        return value

    @field_serializer("method")
    def _method_with_name(self, method: Method) -> dict[str, Any]:
        return method.model_dump()

    @property
    def label(self) -> str:
        """'SmolLM2 135M · APT · 2:4' without the model's title: method and pattern only."""
        return f"{self.method.label} · {self.pattern.label}"


def make_recipe(**fields: Any) -> Recipe:
    """A recipe from plain data; raises BadInput with one sentence when it cannot work."""
    return make_value(Recipe, **fields)


def make_value(kind: type[Value], **fields: Any) -> Value:
    """A checked value from plain data; raises BadInput with one sentence."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise BadInput(one_sentence(error)) from error
