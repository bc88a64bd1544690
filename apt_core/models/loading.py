"""A checked folder -> model and tokenizer in memory. Only the worker comes here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from apt_core.errors import NotAModel
from apt_core.models import checkpoints

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What transformers raises for files that it cannot make sense of.
_UNREADABLE = (ValueError, KeyError, ImportError, AttributeError, TypeError, OSError)


def load(folder: Path, dtype: torch.dtype, device: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in evaluation mode, without gradients, and its tokenizer; nothing is fetched, no code runs.

    Raises NotAModel with one sentence when the folder is no whole model of a known architecture;
    out-of-memory passes through.
    """
    folder = Path(folder)
    checkpoints.check(folder)
    tokenizer = _tokenizer(folder)
    model = _model(folder, dtype).to(device)
    model.eval()
    model.requires_grad_(False)
    return model, tokenizer


def _model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Attention is left to transformers: scaled dot-product where the architecture has it, else its own."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    _check_architecture(folder)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (SafetensorError, *_UNREADABLE) as error:
        reason = " ".join(str(error).split())[:120]
        raise NotAModel(f"The model in {folder} cannot be loaded ({reason}); download it again.") from error
    except RuntimeError as error:
        if "mismatch" not in str(error):
            raise
        raise NotAModel(
            f"The weights in {folder} do not fit its config.json; download the model again."
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise NotAModel(f"{folder} is not whole: the weights of {missing[0]} are missing; download it again.")
    return model


def _check_architecture(folder: Path) -> None:
    """Raise NotAModel for an architecture that transformers does not know without foreign code."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except _UNREADABLE as error:
        raise NotAModel(_unsupported(folder)) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise NotAModel(_unsupported(folder))


def _unsupported(folder: Path) -> str:
    config = checkpoints.read_config(folder)
    named = next(iter(config.get("architectures") or []), config.get("model_type") or "unknown")
    if config.get("auto_map"):
        return f"{named} needs Python code of its own, which is never run here; choose a model without."
    return f"The installed transformers library cannot load the architecture {named}; choose another model."


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # tokenizer files fail in as many ways as there are formats
        raise NotAModel(f"The tokenizer in {folder} cannot be read; download the model again.") from error
    if not len(tokenizer):
        raise NotAModel(f"The tokenizer in {folder} has no vocabulary; download the model again.")
    return tokenizer
