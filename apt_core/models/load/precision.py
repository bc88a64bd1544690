"""The float type of each parameter in a run of another type: some must not be rounded to half precision."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch

from apt_core.base.lazy import lazy
from apt_core.families import FAMILIES

if TYPE_CHECKING:
    import transformers
    from transformers import PretrainedConfig, PreTrainedModel
else:
    transformers = lazy("transformers")

_HALF = (torch.float16, torch.bfloat16)


def dtype_of_each(model: PreTrainedModel, dtype: torch.dtype) -> Callable[[str], torch.dtype]:
    """A parameter's name -> the type in which it is kept in a run of `dtype`.

    Float32 for what the family says or transformers itself insists on.
    """
    family = FAMILIES.get(model.config.get_text_config().model_type)
    theirs = [re.compile(pattern) for pattern in model._keep_in_fp32_modules_strict or ()]

    def of(name: str) -> torch.dtype:
        ours = family is not None and family.needs_float32(name)
        kept = dtype in _HALF and (ours or any(pattern.search(name) for pattern in theirs))
        return torch.float32 if kept else dtype

    return of


@contextmanager
def float32_kept(config: PretrainedConfig) -> Iterator[None]:
    """While open, transformers loads what the family says in float32, as it does of its own accord for others.

    It knows no argument for that, only an attribute of the model's class.
    """
    family = FAMILIES.get(config.get_text_config().model_type)
    cls = cast("type[PreTrainedModel]", transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
    before = cls._keep_in_fp32_modules_strict
    ours = [rf"\.{name}$" for name in (family.float32 if family else ())]
    cls._keep_in_fp32_modules_strict = [*(before or ()), *ours]
    try:
        yield
    finally:
        cls._keep_in_fp32_modules_strict = before
