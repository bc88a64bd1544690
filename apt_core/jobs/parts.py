"""What jobs of every kind are made of: the model, the texts, the machine."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from apt_core.base.errors import BadInput
from apt_core.base.values import Frozen

MAX_TEXT_NAME = 500
RUN_PREFIX = "run:"
WindowSeed = Annotated[
    int,
    Field(
        ge=0,
        le=2**32 - 1,
        description="0 calibrates on the first windows of the text; any other number draws windows",
    ),
]

Answering = Annotated[
    bool,
    Field(
        title="Answer a standard question",
        description="dense and pruned model answer it at the end of the run, with the same random numbers",
    ),
]


class ModelRef(Frozen):
    """A catalogue name, a local folder of safetensors, a Hub id (`owner/name`), or `run:<id>`: what a run made."""

    id: str = Field(min_length=1, max_length=MAX_TEXT_NAME)
    revision: str | None = None

    @property
    def run(self) -> str | None:
        """The id of the run that made this model, None for a model that no run made."""
        name = self.id.strip()
        return name.removeprefix(RUN_PREFIX) if name.startswith(RUN_PREFIX) else None


class Calibration(Frozen):
    """Which text the statistics come from, and how much of it.

    `text` is a name from `texts.sources.TEXTS`, a path of a UTF-8 file, or `hub:<dataset>[:<config>[:<split>]]`.
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


class Training(Calibration):
    """Which text a recovery reads, and how much of it in one step. A few windows are held out: their loss is the curve
    of the run, and none of them is trained on."""

    text: str = Field(
        default="wikipedia",
        min_length=1,
        max_length=MAX_TEXT_NAME,
        title="Training text",
        description="From the list, or a dataset of the Hub such as hub:owner/name",
        json_schema_extra={"control": "text"},
    )
    samples: int = Field(
        default=1024,
        ge=2,
        le=65_536,
        title="Windows",
        description="of the text, each read once before any is read again",
    )
    length: int = Field(default=256, ge=16, le=32768, title="Tokens each")
    batch: int = Field(default=2, ge=1, le=1024, title="Windows in a step")
    held_out: int = Field(
        default=8, ge=1, le=1024, title="Windows held out", description="whose loss the curve shows"
    )


class Choosing(Calibration):
    """Which text a search reads: windows for the statistics, as of `Calibration`, and a few others that are held out,
    on which its candidates are compared. The result is measured on neither."""

    held_out: int = Field(
        default=4, ge=1, le=1024, title="Windows held out", description="on which candidates are compared"
    )


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
    skip: int = Field(
        default=0,
        ge=0,
        le=4096,
        title="Windows to skip",
        description="at the start of the text, where they have served a choice before",
    )


class Rounding(Frozen):
    """Evaluate as if the prunable matrices were stored in a few bits: round to nearest, not GPTQ or AWQ."""

    bits: Literal["none", "8", "4"] = Field(
        default="none",
        title="Round weights to",
        description="bits a weight, by round to nearest (not GPTQ or AWQ); files stay as they are",
    )
    group: int = Field(
        default=128,
        ge=16,
        le=4096,
        title="Weights per scale",
        description="neighbouring inputs that share a scale",
    )
    scheme: Literal["symmetric", "asymmetric"] = Field(
        default="symmetric",
        title="Rounding grid",
        description="around zero, or from the least to the largest weight",
    )

    @property
    def number(self) -> int:
        """Bits a weight; 0 where nothing is rounded."""
        return 0 if self.bits == "none" else int(self.bits)

    @property
    def symmetric(self) -> bool:
        return self.scheme == "symmetric"


class Tasks(Frozen):
    """Zero-shot tasks of lm-evaluation-harness, by the names that it has for them: tasks, groups, tags."""

    names: str = Field(
        default="",
        max_length=400,
        title="Zero-shot tasks",
        description="of lm-evaluation-harness, such as arc_easy,hellaswag (pip install '.[tasks]')",
    )
    limit: int = Field(
        default=0,
        ge=0,
        le=100_000,
        title="Examples of each task",
        description="the first so many of each task; 0 takes all",
    )

    @field_validator("names")
    @classmethod
    def _only_names(cls, value: str) -> str:
        """Never a path: the harness would run code that such a file names."""
        if value.strip() and not re.fullmatch(r"[\w.-]+( *, *[\w.-]+)*", value.strip(), re.ASCII):
            raise BadInput(
                f"Zero-shot tasks are names with commas between them, such as arc_easy,hellaswag, not {value[:40]!r}."
            )
        return value.strip()

    @property
    def listed(self) -> tuple[str, ...]:
        """Each name once."""
        return tuple(dict.fromkeys(name.strip() for name in self.names.split(",") if name.strip()))


class Resources(Frozen):
    """What a job computes on; `auto` lets the machine decide."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", title="Device")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(default="auto", title="Precision")
    weights: Literal["auto", "memory", "disk"] = Field(
        default="auto",
        title="Weights",
        description="memory keeps the whole model there; disk one decoder block at a time, and little else; "
        "auto goes by what is free",
    )
    walk: Literal["auto", "halting", "two-pass"] = Field(
        default="auto",
        title="Walk",
        description="halting computes each block once and prunes every layer with the inputs that the pruned model "
        "gives it; two-pass computes it twice and holds far less; auto goes by what is free",
    )
