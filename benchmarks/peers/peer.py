"""llm-compressor on the same weights and windows, judged by the same evaluator."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from apt_core.base.patterns import Pattern, SemiStructured, parse_pattern

_FOLDER = Path(__file__).parent
_ENVIRONMENT = _FOLDER / ".venv-llm-compressor"
_REQUIREMENT = "llmcompressor==0.14.*"
_PREFIX = "llm-compressor/"


def is_peer(method: str) -> bool:
    return method.startswith(_PREFIX)


def prune(
    method: str, pattern: str, options: argparse.Namespace, judge: Callable[[str], dict] | None = None
) -> dict:
    """One run of `llm-compressor/SparseGPT` or `llm-compressor/Wanda`, in the shape of the product's own runs.

    judge: from the folder of its pruned weights to the losses of held-out windows.
    """
    from apt_core.jobs import ModelRef
    from apt_core.models.fetch.sources import resolve

    wanted = parse_pattern(pattern)
    dense = resolve(ModelRef(id=options.model))
    with tempfile.TemporaryDirectory(prefix="apt-peer-") as temporary:
        pruned, reported = run(method, wanted, dense, Path(temporary), options)
        for companion in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            if (dense / companion).is_file():
                (pruned / companion).write_bytes((dense / companion).read_bytes())
        return {
            "method": method,
            "pattern": wanted.label,
            "losses": judge(str(pruned)) if judge else {},
            "mean_relative_error": None,
            "sparsity": reported["sparsity"],
            "prune_seconds": reported["seconds"],
            "seconds": {"prune": reported["seconds"]},
            "peak_rss_bytes": reported["peak_rss_bytes"],
            "hardware": _hardware(),
            "dtype": reported["dtype"],
            "versions": {"torch": reported["torch"], "llmcompressor": reported["llmcompressor"]},
        }


def run(
    method: str, pattern: Pattern, dense: Path, folder: Path, options: argparse.Namespace
) -> tuple[Path, dict]:
    """(the pruned model below `folder`, what the peer told of its run), in a process of its own."""
    _save_windows(dense, options, folder / "windows.safetensors")
    job = {
        "model": str(dense),
        "windows": str(folder / "windows.safetensors"),
        "modifier": method.removeprefix(_PREFIX),
        "sparsity": pattern.sparsity,
        "structure": f"{pattern.keep}:{pattern.of}" if isinstance(pattern, SemiStructured) else "0:0",
        "output": str(folder / "pruned"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    reported = _run([str(_python()), str(_FOLDER / "llm_compressor.py"), str(folder / "job.json")])
    if abs(reported["sparsity"] - pattern.sparsity) > 0.01:
        raise SystemExit(f"{method} left a sparsity of {told['sparsity']:.3f}, not {pattern.sparsity}.")
    return folder / "pruned", reported


@lru_cache
def _python() -> Path:
    """The environment's interpreter; the environment is made and filled when it is not there."""
    python = _ENVIRONMENT / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (_ENVIRONMENT / "complete").exists():
        print(f"installing {_REQUIREMENT} into {_ENVIRONMENT}", file=sys.stderr, flush=True)
        venv.create(_ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", _REQUIREMENT], check=True)
        (_ENVIRONMENT / "complete").touch()
    return python


def _run(command: list[str]) -> dict:
    """The JSON of its last line; what it logs goes nowhere unless it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _save_windows(model: Path, options: argparse.Namespace, file: Path) -> None:
    """The very windows that the product's runs calibrate on (seed 0: the first of the text)."""
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoTokenizer

    from apt_core.base.policy import PRIVATE
    from apt_core.families import opening_token
    from apt_core.texts.sources import load_text
    from apt_core.texts.windows import token_windows

    if options.seed:
        raise SystemExit("A peer can only be given the first windows: leave --seed at 0.")
    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    text = load_text(options.calibration, "calibration", policy=PRIVATE)
    opening = opening_token(AutoConfig.from_pretrained(model, local_files_only=True), tokenizer)
    save_file({"windows": token_windows(tokenizer, text, options.length, options.samples, opening)}, file)


def _hardware() -> str:
    from apt_core.base.hardware import hardware_name

    return hardware_name("cpu")
