"""Which commands there are and what they take. Imports nothing heavy: `--help` must answer at once."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import NoReturn

from apt_core.base.errors import BadInput

_EXAMPLES = """\
examples:
  python -m apt_core prune --model smollm2-135m --method apt --pattern 2:4
  python -m apt_core prune --model smollm2-135m --method wanda --sparsity 0.5 --out pruned --json
  python -m apt_core prune --model smollm2-135m --method apt --race sparsegpt,wanda --pattern 2:4
  python -m apt_core evaluate --model pruned --eval my_text.txt
  python -m apt_core generate --run 20261124-130501-a1b2 --prompt "Why is the sky blue?"
  python -m apt_core runs show 20261124-130501-a1b2
"""


class _Parser(argparse.ArgumentParser):
    """Complains in one sentence, as everything else does."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[:1].upper()}{message[1:]} ('{self.prog} --help' shows how).")


class _Command:
    """A command's function, imported when it is called: 'prune:run' -> apt_core.cli.prune.run."""

    def __init__(self, where: str):
        self._module, self._function = where.split(":")

    def __call__(self, options: argparse.Namespace) -> int:
        return getattr(import_module(f"apt_core.cli.{self._module}"), self._function)(options)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m apt_core",
        description="Prune a language model layer by layer, measure it, and read it beside the dense one.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_prune(commands)
    _add_evaluate(commands)
    _add_generate(commands)
    _add_runs(commands)
    _add_cache(commands)
    _add(commands, "models", "listing:models", "list the models that have a name here")
    _add(commands, "methods", "listing:methods", "list the pruning methods and their options")
    return parser


def _add(commands, name: str, where: str, help: str, below: bool = False) -> argparse.ArgumentParser:
    """One command; `below` another one, it leaves a `--json` that was given to that one alone."""
    parser = commands.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.")
    parser.set_defaults(command=_Command(where))
    default = argparse.SUPPRESS if below else False
    parser.add_argument(
        "--json", action="store_true", default=default, help="print one JSON value and nothing else"
    )
    return parser


def _add_prune(commands) -> None:
    parser = _add(commands, "prune", "prune:run", "prune a model and measure what it costs")
    parser.add_argument(
        "--model",
        required=True,
        help="a name of 'models', a folder of safetensors, a Hub id, or run:ID for what a run made",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a Hub model")
    parser.add_argument("--method", default="apt", help="a name of 'methods' (default: apt)")
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--sparsity", metavar="S", help="fraction of the weights to remove, such as 0.5")
    amount.add_argument("--pattern", metavar="N:M", help="keep N of every M weights, such as 2:4")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the method (repeatable)"
    )
    parser.add_argument(
        "--race",
        metavar="NAMES",
        help="then prune with these methods too, such as sparsegpt,wanda, and compare",
    )
    parser.add_argument("--calibration", metavar="NAME|FILE", help="text that the statistics come from")
    parser.add_argument("--samples", type=int, metavar="N", help="calibration windows at most (default: 32)")
    parser.add_argument("--length", type=int, metavar="N", help="tokens in each (default: 512)")
    parser.add_argument("--seed", type=int, help="decides every random choice (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="copy the pruned model into this new folder")
    parser.add_argument(
        "--weights",
        choices=("auto", "memory", "disk"),
        default="auto",
        help="memory: the whole model; disk: one decoder block at a time and little else; auto goes by what is free",
    )
    parser.add_argument(
        "--optional-layers",
        action="store_true",
        help="also prune what a family leaves dense by default: dt_proj of Mamba, Falcon Mamba and Jamba",
    )
    _add_evaluation(parser)
    _add_computing(parser)


def _add_evaluate(commands) -> None:
    parser = _add(commands, "evaluate", "evaluate:run", "measure the perplexity of a model")
    parser.add_argument(
        "--model", required=True, help="a folder, a name of 'models', a Hub id, or run:ID for what a run made"
    )
    _add_evaluation(parser, "text, or several with commas, that perplexity is measured on")
    _add_computing(parser)


def _add_evaluation(
    parser: argparse.ArgumentParser, help: str = "text that perplexity is measured on"
) -> None:
    parser.add_argument("--eval", metavar="NAME|FILE", help=help)
    parser.add_argument(
        "--eval-samples", type=int, metavar="N", help="evaluation windows at most (default: 12)"
    )
    parser.add_argument("--eval-length", type=int, metavar="N", help="tokens in each (default: 1024)")


def _add_computing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument(
        "--accept-terms",
        action="store_true",
        help="you have read and accept the conditions of use of a model that has some (Gemma)",
    )
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")


def _add_generate(commands) -> None:
    parser = _add(
        commands, "generate", "generate:run", "ask the dense and the pruned model the same question"
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", metavar="ID", help="the run whose two models are asked")
    which.add_argument("--pruned", metavar="DIR", help="a folder that 'prune --out' wrote")
    parser.add_argument(
        "--dense", metavar="MODEL", help="with --pruned: the model before pruning, when DIR does not say"
    )
    parser.add_argument("--prompt", required=True, help="the question; - reads it from standard input")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="tokens per answer at most")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 takes the most likely token")
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="sample from the likeliest tokens that sum to P"
    )
    parser.add_argument("--seed", type=int, help="the random numbers, the same for both models (default: 0)")
    parser.add_argument("--no-chat", action="store_true", help="do not use the model's chat template")


def _add_runs(commands) -> None:
    parser = _add(commands, "runs", "runs:show_list", "list, show, cancel and delete runs")
    parser.set_defaults(limit=30)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    listing = _add(actions, "list", "runs:show_list", "the newest runs", below=True)
    listing.add_argument("--limit", type=int, default=30, metavar="N", help="how many (default: 30)")
    for name, help in (
        ("show", "one run with all its numbers"),
        ("cancel", "stop a run, or take it out of the queue"),
        ("delete", "remove an ended run with its weights"),
    ):
        action = _add(actions, name, f"runs:{name}", help, below=True)
        action.add_argument("id", metavar="ID")
        if name == "delete":
            action.add_argument("--force", action="store_true", help="also when other runs were made from it")


def _add_cache(commands) -> None:
    parser = _add(commands, "cache", "cache:show_list", "list and delete the models that were downloaded")
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    _add(actions, "list", "cache:show_list", "what each takes, and when it was last used", below=True)
    delete = _add(actions, "delete", "cache:delete", "remove one that no run needs", below=True)
    delete.add_argument("model", metavar="MODEL", help="its name in the list")
