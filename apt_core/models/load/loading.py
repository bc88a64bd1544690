"""A checked folder -> model and tokenizer in memory. Only the worker comes here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from apt_core.base.errors import NotAModel
from apt_core.base.lazy import lazy
from apt_core.models.checkpoint import headers as checkpoints

if TYPE_CHECKING:
    import torch
    import transformers
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from apt_core.models.load import precision, skeleton, uneven, weight_files
    from apt_core.models.load.disk_store import DiskStore
else:
    transformers = lazy("transformers")
    precision = lazy("apt_core.models.load.precision")
    skeleton = lazy("apt_core.models.load.skeleton")
    uneven = lazy("apt_core.models.load.uneven")
    weight_files = lazy("apt_core.models.load.weight_files")

_NAMES = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16"}
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
    model = _model(folder, dtype).to(device)  # type: ignore[arg-type]  # transformers wraps it, and mypy sees no self
    model.eval()
    model.requires_grad_(False)
    return model, tokenizer


def load_spread(
    folder: Path, dtype: torch.dtype, device_map: Mapping[str, str]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """As `load`, but every module on its own device; accelerate moves what passes from one to the next."""
    folder = Path(folder)
    checkpoints.check(folder)
    tokenizer = _tokenizer(folder)
    _check_architecture(folder)
    model = _as_transformers_loads_it(folder, dtype, device_map=dict(device_map))
    model.eval()
    model.requires_grad_(False)
    return model, tokenizer


def load_by_block(
    folder: Path, dtype: torch.dtype, device: str, room_for_all: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, DiskStore]:
    """As `load`, but the decoder blocks' weights stay on disk until they are asked for.

    Raises NotByBlock besides, for a model that only transformers itself can put together.
    """
    folder = Path(folder)
    checkpoints.check(folder)
    tokenizer = _tokenizer(folder)
    _check_architecture(folder)
    model, store = _skeleton(folder, dtype, device, room_for_all)
    return model, tokenizer, store


def _skeleton(
    folder: Path, dtype: torch.dtype, device: str, room_for_all: bool = False
) -> tuple[PreTrainedModel, DiskStore]:
    """Raises NotByBlock also for what transformers, asked for the whole model, says in better words."""
    try:
        return skeleton.build(folder, dtype, device, room_for_all)
    except (NotAModel, *_UNREADABLE) as error:
        raise skeleton.NotByBlock(" ".join(str(error).split())[:120]) from error


def _model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Attention is left to transformers: scaled dot-product where the architecture has it, else its own."""
    _check_architecture(folder)
    return _converted(folder, dtype) or _as_transformers_loads_it(folder, dtype)


def _converted(folder: Path, dtype: torch.dtype) -> PreTrainedModel | None:
    """A model stored in another float type than `dtype`, read a few tensors at a time.

    transformers keeps the whole file mapped while it converts: both copies then count as memory of the
    process. None where nothing is converted (the mapped file is then the weights themselves) or the names
    do not fit. A packed model is read in this way in any type.
    """
    stored = {facts.dtype for facts in checkpoints.read_tensors(folder).values()}
    if stored == {_NAMES.get(str(dtype))} and not checkpoints.is_packed(folder):
        return None
    try:
        model, store = _skeleton(folder, dtype, "cpu")
    except skeleton.NotByBlock:
        return None
    for index in range(len(store.blocks)):
        store.fill(index)
    return model


def _as_transformers_loads_it(folder: Path, dtype: torch.dtype, **more: Any) -> PreTrainedModel:
    read = transformers.AutoConfig.from_pretrained
    try:
        config = read(folder, trust_remote_code=False, local_files_only=True)
        with precision.float32_kept(config):
            if checkpoints.is_packed(folder):
                loaded = _unpacked(folder, config, dtype, **more)
            else:
                plain = transformers.AutoModelForCausalLM
                loader = uneven.model_class(config) if uneven.is_uneven(config) else plain
                loaded = loader.from_pretrained(
                    folder,
                    dtype=dtype,
                    use_safetensors=True,
                    trust_remote_code=False,
                    local_files_only=True,
                    output_loading_info=True,
                    **more,
                )
        model: PreTrainedModel = loaded[0]
        info: dict[str, Any] = loaded[1]
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


def _unpacked(folder: Path, config: PretrainedConfig, dtype: torch.dtype, **more: Any) -> Any:
    """transformers is handed the unpacked tensors, which are all in memory until it has placed them."""
    files = weight_files.WeightFiles(folder)
    cls = uneven.model_class(config)
    model, info = cls.from_pretrained(
        None,
        config=config,
        state_dict=files.read(list(files.facts)),
        dtype=dtype,
        output_loading_info=True,
        **more,
    )
    if (folder / "generation_config.json").is_file():
        model.generation_config = transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model, info


def _check_architecture(folder: Path) -> None:
    """Raise NotAModel for an architecture that transformers does not know without foreign code."""
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except _UNREADABLE as error:
        raise NotAModel(_unsupported(folder)) from error
    if type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise NotAModel(_unsupported(folder))


def _unsupported(folder: Path) -> str:
    config = checkpoints.read_config(folder)
    named = next(iter(config.get("architectures") or []), config.get("model_type") or "unknown")
    if config.get("auto_map"):
        return f"{named} needs Python code of its own, which is never run here; choose a model without."
    return f"The installed transformers library cannot load the architecture {named}; choose another model."


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # tokenizer files fail in as many ways as there are formats
        raise NotAModel(f"The tokenizer in {folder} cannot be read; download the model again.") from error
    if not len(tokenizer):
        raise NotAModel(f"The tokenizer in {folder} has no vocabulary; download the model again.")
    return tokenizer
