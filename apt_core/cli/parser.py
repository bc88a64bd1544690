"""Which commands there are and what they take. Imports nothing heavy: `--help` must answer at once.

What a job takes is drawn from its fields (`flags`).
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from apt_core.base.errors import BadInput
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.cli.flags import add_flags
from apt_core.jobs import Evaluate, Prune, Recover, Search
from apt_core.methods.component import SLOTS
from apt_core.runs.labels import LONGEST_NAME, LONGEST_NOTE
from apt_core.runs.query import SORTS, Query

_EXAMPLES = """\
examples:
  {0} prune --model smollm2-135m --method apt --pattern 2:4
  {0} prune --model smollm2-135m --method wanda --sparsity 0.5 --out pruned --json
  {0} prune --model smollm2-135m --method apt --race sparsegpt,wanda --pattern 2:4
  {0} sweep --model smollm2-135m --methods apt,wanda --sparsity 0.3,0.5 --pattern 2:4
  {0} evaluate --model pruned --eval my_text.txt
  {0} recover --run 20261124-130501-a1b2 --method spp --steps 200
  {0} law 20261124-140501-a1b2,20261124-141022-c3d4 --within 1.05
  {0} generate --run 20261124-130501-a1b2 --prompt "Why is the sky blue?"
  {0} ask --run 20261124-130501-a1b2 --prompts prompts.txt --csv answers.csv
  {0} inspect 20261124-130501-a1b2 --block 3 --layer self_attn.q_proj --inputs
  {0} runs show 20261124-130501-a1b2
  {0} runs --search "apt 2:4" --status finished --sort perplexity
  {0} label 20261124-130501-a1b2 --name "The best yet" --tag paper --pin
  {0} compare 20261124-130501-a1b2 20261124-131022-c3d4
"""


_LISTED = 30  # runs that a list shows when nobody says how many


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


def build_parser(policy: HostPolicy = STRICT) -> argparse.ArgumentParser:
    """policy: what this host allows; every command finds it in its options."""
    parser = _Parser(
        prog=_program(),
        description="Prune a language model layer by layer, measure it, and read it beside the dense one. "
        "Without a command: open the page.",
        epilog=_EXAMPLES.format(_program()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="of the page (default: GRADIO_SERVER_PORT or 7860)"
    )
    parser.set_defaults(policy=policy, command=_Command("page:run"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_prune(commands)
    _add_sweep(commands)
    _add_evaluate(commands)
    _add_recover(commands)
    _add_search(commands)
    _add_law(commands)
    _add_generate(commands)
    _add_ask(commands)
    _add_inspect(commands)
    _add_runs(commands)
    _add_label(commands)
    _add_report(commands)
    _add_export(commands)
    _add_pack(commands)
    _add_compare(commands)
    _add_cache(commands)
    _add(commands, "models", "listing:models", "list the models that have a name here")
    _add(commands, "methods", "listing:methods", "list the pruning methods and their options")
    return parser


def _program() -> str:
    """As it was called: `apt-studio`, or the module."""
    return "python -m apt_core" if Path(sys.argv[0]).name == "__main__.py" else "apt-studio"


def _add(commands: Any, name: str, where: str, help: str, below: bool = False) -> argparse.ArgumentParser:
    """One command; `below` another one, it leaves a `--json` that was given to that one alone."""
    parser = commands.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.")
    parser.set_defaults(command=_Command(where))
    default = argparse.SUPPRESS if below else False
    parser.add_argument(
        "--json", action="store_true", default=default, help="print one JSON value and nothing else"
    )
    return parser


def _add_prune(commands: Any) -> None:
    """The flags of the job's fields, and beside them what is no field, or is said in another way."""
    parser = _add(commands, "prune", "prune:run", "prune a model and measure what it costs")
    add_flags(parser, Prune)
    parser.add_argument("--method", default="apt", help="a name of 'methods' (default: apt)")
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--sparsity", metavar="S", help="fraction of the weights to remove, such as 0.5")
    amount.add_argument(
        "--pattern",
        metavar="N:M",
        help="keep N of every M weights, such as 2:4; '2:4 mixed': on average over the layers",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the method (repeatable)"
    )
    for slot, kind in SLOTS.items():
        about = (kind.__doc__ or "").strip().split("\n")[0].rstrip(".")
        parser.add_argument(
            f"--{slot}", metavar="NAME", help=f"{about[:1].lower()}{about[1:]}: --set {slot}=NAME"
        )
    parser.add_argument(
        "--compensate",
        action="store_true",
        help="llm-pruner: the columns that stay make up for those that went: --set compensate=true",
    )
    parser.add_argument(
        "--race",
        metavar="NAMES",
        help="then prune with these methods too, such as sparsegpt,wanda, and compare",
    )
    parser.add_argument("--out", metavar="DIR", help="copy the pruned model into this new folder")
    _add_terms(parser)


def _add_sweep(commands: Any) -> None:
    """The axes of the grid, and the fields of the job that holds everything else."""
    help = (
        "prune a model in many ways, one after another, and compare; or find the most sparsity that it bears"
    )
    parser = _add(commands, "sweep", "sweep:run", help)
    axes = frozenset({"calibration.samples", "seed"})
    add_flags(parser, Prune, without=axes, optional=frozenset({"model.id"}))
    parser.add_argument("--methods", metavar="NAMES", help="names of 'methods', such as apt,wanda")
    parser.add_argument(
        "--sparsity", metavar="S,S", help="fractions of the weights to remove, such as 0.3,0.5"
    )
    parser.add_argument("--pattern", metavar="N:M,N:M", help="N of every M weights to keep, such as 2:4,4:8")
    parser.add_argument(
        "--allocations", metavar="NAMES", help="such as uniform,loss (default: each method's own)"
    )
    parser.add_argument("--seeds", metavar="N,N", help="such as 0,1")
    parser.add_argument("--samples", metavar="N,N", help="calibration windows at most, such as 32,128")
    parser.add_argument("--method", metavar="NAME", help="with --within: the method")
    parser.add_argument(
        "--within",
        type=float,
        metavar="R",
        help="find the most sparsity whose perplexity is at most R times the dense one, such as 1.10",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what it will take, and queue nothing")
    parser.add_argument("--resume", metavar="STUDY", help="go on with a sweep that was stopped")
    _add_terms(parser)


def _add_evaluate(commands: Any) -> None:
    parser = _add(commands, "evaluate", "evaluate:run", "measure the perplexity of a model")
    add_flags(parser, Evaluate, without=frozenset({"resources.walk"}))
    _add_terms(parser)


def _add_recover(commands: Any) -> None:
    parser = _add(
        commands, "recover", "recover:run", "train what a run pruned, every zero kept, and measure it"
    )
    parser.add_argument("--run", metavar="ID", help="the run whose pruned model is recovered")
    parser.add_argument(
        "--method", metavar="NAME", help="what is trained, such as spp; an unknown name lists them all"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the method (repeatable)"
    )
    without = frozenset({"model.id", "model.revision", "resources.walk", "resources.weights", "resume"})
    add_flags(parser, Recover, without=without)
    parser.add_argument("--resume", metavar="ID", help="go on from what a recovery that stopped has kept")


def _add_search(commands: Any) -> None:
    parser = _add(
        commands, "search", "search:run", "try many smaller models of one size, make the best and measure it"
    )
    without = frozenset({"resources.walk", "resume"})
    add_flags(parser, Search, without=without, optional=frozenset({"model.id"}))
    parser.add_argument(
        "--resume", metavar="ID", help="go on from the population that a search that stopped has kept"
    )
    _add_terms(parser)


def _add_law(commands: Any) -> None:
    parser = _add(
        commands, "law", "law:run", "fit the power law of post-training to the curves of recoveries"
    )
    parser.add_argument("runs", metavar="STUDY|RUN,RUN", help="recoveries, or a study of some")
    parser.add_argument(
        "--within",
        type=float,
        metavar="R",
        help="how many tokens until perplexity is at most R times the dense one, such as 1.05",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")


def _add_terms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-terms",
        action="store_true",
        help="you have read and accept the conditions of use of a model that has some (Gemma)",
    )


def _add_generate(commands: Any) -> None:
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
    _add_settings(parser)
    parser.add_argument(
        "--gaps",
        action="store_true",
        help="also run the dense answer through the pruned model: probabilities and KL of every token",
    )


def _add_ask(commands: Any) -> None:
    parser = _add(commands, "ask", "ask:run", "put several prompts to the models of one or more runs")
    parser.add_argument(
        "--run",
        metavar="ID",
        action="append",
        required=True,
        help="whose pruned model answers beside the dense one (repeatable, runs of one model)",
    )
    parser.add_argument(
        "--prompts", metavar="FILE", required=True, help="one prompt a line, UTF-8; - reads standard input"
    )
    _add_settings(parser)
    parser.add_argument("--csv", metavar="FILE", help="also write one row for each prompt and model")
    parser.add_argument("--markdown", metavar="FILE", help="also write a table prompt x model")
    _add_force(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Of a question, the same for every model."""
    parser.add_argument("--max-tokens", type=int, metavar="N", help="tokens per answer at most")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 takes the most likely token")
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="sample from the likeliest tokens that sum to P"
    )
    parser.add_argument("--seed", type=int, help="the random numbers, the same for all models (default: 0)")
    parser.add_argument("--no-chat", action="store_true", help="do not use the model's chat template")


def _add_inspect(commands: Any) -> None:
    parser = _add(commands, "inspect", "inspect:run", "look inside one layer of a run, or along its depth")
    parser.add_argument("id", metavar="RUN")
    parser.add_argument("--block", type=int, metavar="N", help="the layer's block")
    parser.add_argument("--layer", metavar="NAME", help="its name inside the block, such as self_attn.q_proj")
    parser.add_argument(
        "--inputs",
        action="store_true",
        help="also read the calibration text again: input norms, saliencies, and the equation worked on a row",
    )
    parser.add_argument("--row", type=int, metavar="N", help="of the worked equation; implies --inputs")
    whole = parser.add_mutually_exclusive_group()
    whole.add_argument("--depth", action="store_true", help="how error grows behind each block")
    whole.add_argument(
        "--blocks-alone", action="store_true", help="what each block costs when it alone is pruned"
    )


def _add_runs(commands: Any) -> None:
    parser = _add(commands, "runs", "runs:show_list", "list, search, show, cancel and delete runs")
    _add_query(parser)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    _add_query(_add(actions, "list", "runs:show_list", "the newest runs", below=True), below=True)
    _add(
        actions, "pack", "runs:pack", "keep the weights of finished runs as bit masks and values", below=True
    )
    for name, help in (
        ("show", "one run with all its numbers"),
        ("cancel", "stop a run, or take it out of the queue"),
        ("delete", "remove an ended run with its weights"),
    ):
        action = _add(actions, name, f"runs:{name}", help, below=True)
        action.add_argument("id", metavar="ID")
        if name == "delete":
            action.add_argument("--force", action="store_true", help="also when other runs were made from it")


def _add_query(parser: argparse.ArgumentParser, below: bool = False) -> None:
    """Which runs a list shows: a flag for each field of `Query`."""
    for name, field in Query.model_fields.items():
        default = argparse.SUPPRESS if below else field.default
        if name == "sort":
            orders = f"the order: {', '.join(SORTS)} (default: {field.default})"
            parser.add_argument("--sort", metavar="ORDER", default=default, help=orders)
        else:
            parser.add_argument(f"--{name}", metavar="TEXT", default=default, help=field.description)
    limit = argparse.SUPPRESS if below else _LISTED
    parser.add_argument(
        "--limit", type=int, default=limit, metavar="N", help=f"how many (default: {_LISTED})"
    )


def _add_label(commands: Any) -> None:
    parser = _add(commands, "label", "runs:label", "write a name, tags or a note on a run, or pin it")
    parser.add_argument("id", metavar="RUN")
    parser.add_argument("--name", metavar="TEXT", help=f"at most {LONGEST_NAME} characters; '' takes it away")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="add a tag (repeatable)")
    parser.add_argument(
        "--untag", action="append", default=[], metavar="TAG", help="take a tag away (repeatable)"
    )
    parser.add_argument("--note", metavar="TEXT", help=f"at most {LONGEST_NOTE} characters; '' takes it away")
    parser.add_argument(
        "--pin", action=argparse.BooleanOptionalAction, default=None, help="keep it at the top of lists"
    )


def _add_report(commands: Any) -> None:
    parser = _add(commands, "report", "share:report", "write a report of runs that opens anywhere, offline")
    parser.add_argument("runs", metavar="RUN|STUDY|RUN,RUN", help="ids of 'runs', or of a study")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--html", metavar="FILE", help="one file with interactive charts that loads nothing")
    form.add_argument("--markdown", metavar="FILE", help="the same with tables in place of charts")
    _add_force(parser)


def _add_export(commands: Any) -> None:
    parser = _add(commands, "export", "share:export", "give a pruned model away: a folder, a GGUF, the Hub")
    parser.add_argument("run", metavar="RUN", help="the run that made it")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument(
        "--folder", metavar="DIR", help="safetensors, tokenizer and model card, for transformers"
    )
    form.add_argument("--gguf", metavar="FILE", help="one file for llama.cpp (Llama, Qwen 2 and 3, Gemma 3)")
    form.add_argument(
        "--push", metavar="OWNER/NAME", help="a new repository of the Hub, in your own namespace"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "f32", "f16", "bf16"),
        default="auto",
        help="of the matrices in a GGUF (default: as they are)",
    )
    parser.add_argument("--private", action="store_true", help="with --push: a repository that only you see")
    _add_force(parser)


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="also over what is there already")


def _add_pack(commands: Any) -> None:
    packing = _add(
        commands,
        "pack",
        "pack:pack",
        "write pruned weights as a bit mask and kept values: about 0.56 at 50%%",
    )
    packing.add_argument("source", metavar="RUN|DIR", help="a run, or a folder of safetensors")
    unpacking = _add(
        commands, "unpack", "pack:unpack", "make a packed folder plain safetensors again, bit for bit"
    )
    unpacking.add_argument("source", metavar="DIR", help="a folder that 'pack' wrote")
    for parser in (packing, unpacking):
        parser.add_argument("--out", metavar="DIR", required=True, help="the new folder")


def _add_compare(commands: Any) -> None:
    parser = _add(commands, "compare", "compare:run", "compare runs: what differs, and what it changed")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="two to twelve ids of 'runs list'")


def _add_cache(commands: Any) -> None:
    parser = _add(commands, "cache", "cache:show_list", "list and delete the models that were downloaded")
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    _add(actions, "list", "cache:show_list", "what each takes, and when it was last used", below=True)
    delete = _add(actions, "delete", "cache:delete", "remove one that no run needs", below=True)
    delete.add_argument("model", metavar="MODEL", help="its name in the list")
