"""Train the bundled tiny models, so that perplexity means something with no network.

    python -m assets.make.train_tiny tiny-llama|tiny-mamba [FOLDER]

Read: the calibration part of the bundled text, byte by byte; its last articles choose the step whose weights
are kept. The evaluation part is met once, at the end, for the log. Minutes on two slow cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from math import cos, exp, pi
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from apt_core.families import differentiable
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.texts.sources import FALLBACK_TEXT, load_text
from assets.make.make_tiny import BYTES_AND_MARKS, write_json, write_tokenizer

SEED = 20241015
_LOG = "training.json"
_HELD_OUT = 0.06  # of the calibration part: chooses the step
_EVERY = 50  # steps between two looks at the held-out part
_EVALUATED = (12, 512)  # windows and bytes per window
_WARM_UP = 40
_CONTEXT = 1024


class Plan(NamedTuple):
    """One model and how it is trained."""

    config: dict[str, Any]
    steps: int
    batch: int
    length: int  # bytes of one window
    rate: float  # AdamW's, at its highest
    decay: float = 0.1


_MARKS = {"vocab_size": BYTES_AND_MARKS, "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257}

PLANS = {
    "tiny-llama": Plan(
        config={
            "model_type": "llama", "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True,
            "max_position_embeddings": _CONTEXT, "initializer_range": 0.04, **_MARKS,
        },
        steps=700, batch=2, length=_CONTEXT, rate=3e-3,
    ),
    "tiny-mamba": Plan(
        config={
            "model_type": "mamba", "hidden_size": 128, "state_size": 8, "num_hidden_layers": 4,
            "time_step_rank": 8, "tie_word_embeddings": True, "residual_in_fp32": True, **_MARKS,
        },
        steps=450, batch=8, length=256, rate=3e-3,
    ),
}  # fmt: skip


def train(name: str, folder: Path) -> Path:
    """Train the plan called `name`; write config.json, model.safetensors (bfloat16), tokenizer and log."""
    from transformers import AutoConfig, AutoModelForCausalLM

    plan = PLANS[name]
    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**plan.config), dtype=torch.float32)
    text, held_out = _parts()
    start, history = perf_counter(), []
    with differentiable():
        for step, loss, perplexity in _kept_at_its_best(model, plan, text, held_out):
            history.append({"step": step, "training": round(exp(loss), 3), "held out": round(perplexity, 3)})
            print(history[-1], f"{perf_counter() - start:.0f} s", flush=True)
    model.bfloat16().save_pretrained(folder)
    write_tokenizer(folder, _CONTEXT)
    write_json(folder / _LOG, _log(name, model.float(), plan, history, perf_counter() - start))
    return folder


def _log(name: str, model: nn.Module, plan: Plan, history: list[dict], seconds: float) -> dict[str, Any]:
    evaluated = _bytes(load_text(FALLBACK_TEXT, "evaluation"))
    return {
        "model": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "plan": plan._asdict(),
        "optimiser": "AdamW, betas 0.9 and 0.95, cosine to a twentieth, gradients clipped at norm 1",
        "seed": SEED,
        "text": f"calibration part of {FALLBACK_TEXT}, its last {_HELD_OUT:.0%} held out to choose the step",
        "perplexity per byte": {
            "uniform over the vocabulary": BYTES_AND_MARKS,
            "evaluation part": round(_perplexity(model, evaluated), 3),
            "evaluation part, by how often each byte occurs in training": round(_unigram(evaluated), 3),
        },
        "evaluated on": f"{_EVALUATED[0]} windows of {_EVALUATED[1]} bytes",
        "seconds": round(seconds),
        "history": history,
    }


def _parts() -> tuple[Tensor, Tensor]:
    """Bytes to learn from, bytes that choose the step."""
    every = _bytes(load_text(FALLBACK_TEXT, "calibration"))
    border = round(len(every) * (1 - _HELD_OUT))
    return every[:border], every[border:]


def _bytes(text: str) -> Tensor:
    """Token ids of the byte tokenizer, which orders bytes by the letters that stand for them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(CATALOGUE["tiny-random-llama"].folder, local_files_only=True)
    return torch.tensor(tokenizer(text)["input_ids"])


def _kept_at_its_best(
    model: nn.Module, plan: Plan, text: Tensor, held_out: Tensor
) -> Iterator[tuple[int, float, float]]:
    """Yield (step, training loss, held-out perplexity) now and then; the model ends as it was at its best."""
    best, kept = float("inf"), {}
    for step, loss in _steps(model, plan, text):
        if step % _EVERY and step != plan.steps:
            continue
        perplexity = _perplexity(model, held_out)
        if perplexity < best:
            best, kept = perplexity, {name: value.clone() for name, value in model.state_dict().items()}
        yield step, loss, perplexity
    model.load_state_dict(kept)


def _steps(model: nn.Module, plan: Plan, text: Tensor) -> Iterator[tuple[int, float]]:
    optimiser = torch.optim.AdamW(model.parameters(), plan.rate, betas=(0.9, 0.95), weight_decay=plan.decay)
    draws = torch.Generator().manual_seed(SEED)
    for step in range(1, plan.steps + 1):
        model.train()
        optimiser.param_groups[0]["lr"] = plan.rate * _warmth(step, plan.steps)
        starts = torch.randint(len(text) - plan.length, (plan.batch,), generator=draws)
        windows = torch.stack([text[start : start + plan.length] for start in starts])
        loss = model(input_ids=windows, labels=windows, use_cache=False).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        yield step, loss.item()


def _warmth(step: int, steps: int) -> float:
    """Linear to 1, then half a cosine down to 0.05."""
    return min(step / _WARM_UP, 0.05 + 0.95 * (1 + cos(pi * step / steps)) / 2)


@torch.no_grad()
def _perplexity(model: nn.Module, text: Tensor) -> float:
    model.eval()
    windows, length = _EVALUATED
    windows = min(windows, len(text) // length)
    part = text[: windows * length].view(windows, length)
    return exp(model(input_ids=part, labels=part, use_cache=False).loss.item())


def _unigram(evaluated: Tensor) -> float:
    counts = torch.bincount(_parts()[0], minlength=BYTES_AND_MARKS).double() + 1
    return float(exp(-(counts / counts.sum()).log()[evaluated].mean()))


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    if wanted not in PLANS:
        sys.exit(f"Say which model to train: {' or '.join(PLANS)}.")
    print(train(wanted, Path(sys.argv[2]) if len(sys.argv) > 2 else CATALOGUE[wanted].folder))
