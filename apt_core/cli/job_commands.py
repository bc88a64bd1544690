"""The commands that ask for jobs, their flags drawn from the jobs' fields, and the law of finished ones."""

from __future__ import annotations

from typing import Any

from apt_core.cli.command import add, add_resume, add_terms
from apt_core.cli.flags import add_flags
from apt_core.jobs import Evaluate, Prune, Recover, Search
from apt_core.jobs.flags import job_fields
from apt_core.methods.component import SLOTS


def add_job_commands(commands: Any) -> None:
    _add_prune(commands)
    _add_allocation(commands)
    _add_sweep(commands)
    _add_evaluate(commands)
    _add_rounded(commands)
    _add_recover(commands)
    _add_search(commands)
    _add_law(commands)


def _add_prune(commands: Any) -> None:
    """The flags of the job's fields, and those that are not fields or are given in another way."""
    parser = add(commands, "prune", "prune:run", "prune a model and measure what it costs")
    groups = add_flags(parser, Prune)
    method = groups["method"]
    method.add_argument("--method", default="apt", help="a name of 'methods' (default: apt)")
    amount = groups["how much"].add_mutually_exclusive_group(required=True)
    amount.add_argument("--sparsity", metavar="S", help="fraction of the weights to remove, such as 0.5")
    amount.add_argument(
        "--pattern",
        metavar="N:M",
        help="keep N of every M weights, such as 2:4; '2:4 mixed': on average over the layers",
    )
    method.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the method (repeatable)"
    )
    for slot, kind in SLOTS.items():
        about = " ".join((kind.__doc__ or "").split()).split(". ")[0].rstrip(".")
        method.add_argument(
            f"--{slot}", metavar="NAME", help=f"{about[:1].lower()}{about[1:]}; short for --set {slot}=NAME"
        )
    method.add_argument(
        "--compensate",
        action="store_true",
        help="llm-pruner: the remaining columns compensate; short for --set compensate=true",
    )
    method.add_argument(
        "--race",
        metavar="NAMES",
        help="then prune with these methods too, such as sparsegpt,wanda, and compare",
    )
    groups["output"].add_argument("--out", metavar="DIR", help="copy the pruned model into this new folder")
    add_terms(groups["model"])


def _add_allocation(commands: Any) -> None:
    """Of the job's fields those that an allocation may depend on."""
    parser = add(
        commands, "allocation", "allocation:run", "show what an allocation gives each layer, without pruning"
    )
    evaluation = {field.path for field in job_fields(Prune) if field.path.startswith("evaluation.")}
    groups = add_flags(parser, Prune, without=frozenset({*evaluation, "resources.walk"}))
    groups["method"].add_argument(
        "--method", default="apt", help="whose allocation, where --allocation names none"
    )
    groups["method"].add_argument("--allocation", metavar="NAME", help="a name of 'methods', such as owl")
    groups["method"].add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option, such as allocation.metric=mid",
    )
    amount = groups["how much"].add_mutually_exclusive_group(required=True)
    amount.add_argument("--sparsity", metavar="S", help="fraction of the weights to remove, such as 0.7")
    amount.add_argument("--pattern", metavar="N:M", help="such as '2:4 mixed': layers keep N of M on average")
    add_terms(groups["model"])


def _add_sweep(commands: Any) -> None:
    """The axes of the grid, and the fields of the job that holds everything else."""
    help = "prune a model in many ways and compare; or find the highest sparsity within a bound"
    parser = add(commands, "sweep", "sweep:run", help)
    axes = frozenset({"calibration.samples", "seed"})
    groups = add_flags(parser, Prune, without=axes, optional=frozenset({"model.id"}))
    groups["method"].add_argument("--methods", metavar="NAMES", help="names of 'methods', such as apt,wanda")
    groups["how much"].add_argument(
        "--sparsity", metavar="S,S", help="fractions of the weights to remove, such as 0.3,0.5"
    )
    groups["how much"].add_argument(
        "--pattern", metavar="N:M,N:M", help="N of every M to keep, such as 2:4,4:8"
    )
    groups["method"].add_argument(
        "--allocations", metavar="NAMES", help="such as uniform,loss (default: each method's own)"
    )
    groups["method"].add_argument("--seeds", metavar="N,N", help="such as 0,1")
    groups["texts"].add_argument(
        "--samples", metavar="N,N", help="calibration windows at most, such as 32,128"
    )
    groups["method"].add_argument(
        "--recipe",
        action="append",
        metavar="LINE",
        help="a run of its own, such as 'alps 0.5 allocation=loss seed=1' (repeatable)",
    )
    groups["method"].add_argument("--method", metavar="NAME", help="with --within: the method")
    groups["method"].add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="an option of the method, of several methods that of the first (repeatable)",
    )
    groups["how much"].add_argument(
        "--within",
        type=float,
        metavar="R",
        help="find the highest sparsity whose perplexity is at most R times the dense one, such as 1.10",
    )
    groups["resources"].add_argument(
        "--at-once",
        metavar="N",
        help="runs that share the cores, as far as there is memory for them (default: one, or one for each GPU)",
    )
    groups["output"].add_argument(
        "--dry-run", action="store_true", help="say what it will take, and queue nothing"
    )
    groups["output"].add_argument("--resume", metavar="STUDY", help="go on with a sweep that was stopped")
    add_terms(groups["model"])


def _add_evaluate(commands: Any) -> None:
    parser = add(commands, "evaluate", "evaluate:run", "measure the perplexity of a model")
    groups = add_flags(parser, Evaluate, without=frozenset({"resources.walk"}))
    add_terms(groups["model"])


def _add_rounded(commands: Any) -> None:
    parser = add(
        commands, "rounded", "rounded:run", "measure what rounding would give for the same bytes as pruning"
    )
    parser.add_argument(
        "runs", metavar="RUN|STUDY", help="a run that pruned, or a sweep or race of such runs"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what it will take, and queue nothing")


def _add_recover(commands: Any) -> None:
    parser = add(
        commands, "recover", "recover:run", "train what a run pruned, every zero kept, and measure it"
    )
    without = frozenset({"model.id", "model.revision", "resources.walk", "resources.weights", "resume"})
    groups = add_flags(parser, Recover, without=without)
    groups["model"].add_argument("--run", metavar="ID", help="the run whose pruned model is recovered")
    groups["method"].add_argument(
        "--method", metavar="NAME", help="what is trained, such as spp; an unknown name lists them all"
    )
    groups["method"].add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the method (repeatable)"
    )
    add_resume(groups["output"], "go on from what a recovery that stopped has kept")


def _add_search(commands: Any) -> None:
    parser = add(
        commands, "search", "search:run", "try many smaller models of one size, make the best and measure it"
    )
    without = frozenset({"resources.walk", "resume"})
    groups = add_flags(parser, Search, without=without, optional=frozenset({"model.id"}))
    add_resume(groups["output"], "go on from the population that a search that stopped has kept")
    add_terms(groups["model"])


def _add_law(commands: Any) -> None:
    parser = add(commands, "law", "law:run", "fit the power law of post-training to the curves of recoveries")
    parser.add_argument(
        "runs", metavar="STUDY|RUN,RUN", help="recoveries, or a study or runs whose models were recovered"
    )
    parser.add_argument(
        "--within",
        type=float,
        metavar="R",
        help="how many tokens until perplexity is at most R times the dense one, such as 1.05",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
