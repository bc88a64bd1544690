"""The commands that read, label, compare and give away what runs made, and look after what was downloaded."""

from __future__ import annotations

import argparse
from typing import Any

from apt_core.cli.command import actions_of, add
from apt_core.runs.labels import LONGEST_NAME, LONGEST_NOTE
from apt_core.runs.query import SORTS, Query

_LISTED = 30  # runs that a list shows when nobody says how many
_NAMED = "its id, a unique beginning of it, or 'latest'"


def add_run_commands(commands: Any) -> None:
    _add_generate(commands)
    _add_ask(commands)
    _add_inspect(commands)
    _add_runs(commands)
    for add_one in _OF_A_RUN:
        add_one(commands)
    _add_pack(commands)
    _add_compare(commands)
    _add_cache(commands)


def _add_generate(commands: Any) -> None:
    parser = add(commands, "generate", "generate:run", "ask the dense and the pruned model the same question")
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
    parser = add(commands, "ask", "ask:run", "put several prompts to the models of one or more runs")
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
    parser = add(commands, "inspect", "inspect:run", "look inside one layer of a run, or along its depth")
    parser.add_argument("id", metavar="RUN", help=_NAMED)
    parser.add_argument("--block", type=int, metavar="N", help="the layer's block")
    parser.add_argument("--layer", metavar="NAME", help="its name inside the block, such as self_attn.q_proj")
    parser.add_argument(
        "--inputs",
        action="store_true",
        help="also read the calibration text again: input norms, saliencies, and the equation worked on a row",
    )
    parser.add_argument("--row", type=int, metavar="N", help="of the worked equation; implies --inputs")
    whole = parser.add_mutually_exclusive_group()
    whole.add_argument("--depth", action="store_true", help="how error grows from block to block")
    whole.add_argument(
        "--blocks-alone", action="store_true", help="what each block costs when it alone is pruned"
    )


def _add_runs(commands: Any) -> None:
    parser = add(commands, "runs", "runs:show_list", "list, search, show, cancel and delete runs")
    _add_query(parser)
    actions = actions_of(parser, "actions", "ACTION")
    _add_query(add(actions, "list", "runs:show_list", "the newest runs", below=True), below=True)
    packing = add(
        actions,
        "pack",
        "runs:pack",
        "keep the weights of all finished runs as bit masks and values; of one run, write them to --out",
        below=True,
    )
    packing.add_argument("source", metavar="RUN", nargs="?", help="one run; without it, all in place")
    packing.add_argument("--out", metavar="DIR", help="with RUN: the new folder")
    for name, help in (
        ("show", "one run with all its numbers"),
        ("cancel", "stop a run, or take it out of the queue"),
        ("delete", "remove an ended run with its weights"),
    ):
        action = add(actions, name, f"runs:{name}", help, below=True)
        action.add_argument("id", metavar="RUN", help=_NAMED)
        if name == "delete":
            action.add_argument("--force", action="store_true", help="also when other runs were made from it")
    for add_one in _OF_A_RUN:
        add_one(actions, below=True)


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


def _add_label(commands: Any, below: bool = False) -> None:
    parser = add(commands, "label", "runs:label", "write a name, tags or a note on a run, or pin it", below)
    parser.add_argument("id", metavar="RUN", help=_NAMED)
    parser.add_argument("--name", metavar="TEXT", help=f"at most {LONGEST_NAME} characters; '' takes it away")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="add a tag (repeatable)")
    parser.add_argument(
        "--untag", action="append", default=[], metavar="TAG", help="take a tag away (repeatable)"
    )
    parser.add_argument("--note", metavar="TEXT", help=f"at most {LONGEST_NOTE} characters; '' takes it away")
    parser.add_argument(
        "--pin", action=argparse.BooleanOptionalAction, default=None, help="keep it at the top of lists"
    )


def _add_report(commands: Any, below: bool = False) -> None:
    parser = add(
        commands, "report", "share:report", "write a report of runs that opens anywhere, offline", below
    )
    parser.add_argument("runs", metavar="RUN|STUDY|RUN,RUN", help="ids of 'runs', or of a study")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--html", metavar="FILE", help="one file with interactive charts that loads nothing")
    form.add_argument("--markdown", metavar="FILE", help="the same with tables in place of charts")
    _add_force(parser)


def _add_export(commands: Any, below: bool = False) -> None:
    parser = add(
        commands, "export", "share:export", "give a pruned model away: a folder, a GGUF, the Hub", below
    )
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
    packing = add(
        commands,
        "pack",
        "pack:pack",
        "write pruned weights as a bit mask and kept values: about 0.56 at 50%%",
    )
    packing.add_argument("source", metavar="RUN|DIR", help="a run, or a folder of safetensors")
    unpacking = add(
        commands, "unpack", "pack:unpack", "make a packed folder plain safetensors again, bit for bit"
    )
    unpacking.add_argument("source", metavar="DIR", help="a folder that 'pack' wrote")
    for parser in (packing, unpacking):
        parser.add_argument("--out", metavar="DIR", required=True, help="the new folder")


def _add_compare(commands: Any) -> None:
    parser = add(commands, "compare", "compare:run", "compare runs: what differs, and what it changed")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="two to twelve ids of 'runs list', or a study")


def _add_cache(commands: Any) -> None:
    parser = add(commands, "cache", "cache:show_list", "list and delete the models that were downloaded")
    actions = actions_of(parser, "actions", "ACTION")
    add(actions, "list", "cache:show_list", "what each takes, and when it was last used", below=True)
    delete = add(actions, "delete", "cache:delete", "remove one that no run needs", below=True)
    delete.add_argument("model", metavar="MODEL", help="its name in the list")


_OF_A_RUN = (_add_label, _add_report, _add_export)  # also below `runs`
