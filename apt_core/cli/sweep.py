"""`sweep`: an estimate, then the runs as one study, a line for each, and a table of all.

With `--within` the study is a search: each run follows from the results before it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from apt_core.base import words
from apt_core.base.errors import BadInput, NotYours, exit_status_of
from apt_core.base.policy import LOCAL
from apt_core.cli.following import INTERRUPTED, follow
from apt_core.cli.options import check_terms, facts_for, prune_from
from apt_core.cli.output import print_json, say, table
from apt_core.estimate.preflight import Estimate, estimate
from apt_core.jobs import Prune, make_value
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space, make_space
from apt_core.jobs.study import Study
from apt_core.reports.as_json import error_of
from apt_core.runs.executors import executor_of
from apt_core.runs.executors.executor import Executor
from apt_core.runs.launcher import Launcher
from apt_core.runs.making import must_be_renewed
from apt_core.runs.store import Store
from apt_core.studies import bisection
from apt_core.studies.study_estimate import together
from apt_core.studies.sweep import (
    BISECTION,
    SWEEP,
    Row,
    check_is_sweep,
    rows_of,
    sweep_json,
    total_seconds,
)

_HEADS = ("method", "pattern", "seed", "windows", "status", "perplexity", "ratio", "seconds", "run")
_MOST_AT_ONCE = 1000  # runs, as for APT_AT_ONCE
_AXES = (
    *("within", "method", "methods", "sparsity", "pattern", "allocations", "seeds", "samples", "recipe"),
    "set",
)


def run(options: argparse.Namespace) -> int:
    if options.resume is not None:
        return _resume(options)
    if options.within is not None:
        return _search(options)
    if options.method is not None:
        raise BadInput("A sweep takes --methods; --method goes with --within.")
    store = Store()
    space = space_from(options)
    jobs, dropped = space.expand(options.policy.sweep_runs)
    needs = _estimated(jobs, options, store)
    _say_needs(needs, len(jobs), dropped)
    if options.dry_run:
        _print_plan(jobs, needs, dropped, options.json)
        return 0
    launcher = Launcher(store, only=LOCAL, executor=_executor(options))
    study = store.create_study(SWEEP, jobs, asked=space)  # started by `follow`, which hears Ctrl-C
    return _follow(launcher, study, options)


def space_from(options: argparse.Namespace) -> Space:
    """The grid that was asked for, everything else of it checked as `prune` does; raises BadInput."""
    if options.model is None:
        raise BadInput("Name the model to sweep with --model, or go on with a sweep by --resume STUDY.")
    patterns = [*_listed(options.sparsity), *_listed(options.pattern)]
    if not patterns and not options.recipe:
        raise BadInput(
            "Say how much goes with --sparsity 0.3,0.5 or --pattern 2:4, or name runs with --recipe."
        )
    if not patterns:
        _check_recipes_alone(options)
    methods = _listed(options.methods) or (["apt"] if patterns else [])
    if options.set and not methods:
        raise BadInput("--set is for the first of --methods; write the options of a recipe into its line.")
    axes = {
        "methods": tuple(methods),
        "patterns": tuple(patterns),
        "allocations": tuple(_listed(options.allocations)),
        "seeds": _numbers("--seeds", options.seeds),
        "samples": _numbers("--samples", options.samples),
        "recipes": tuple(options.recipe or ()),
    }
    make_space(_sketch(options), **axes)  # names and numbers first: they are known at once
    return make_space(_base(options, (methods or ["apt"])[0], (patterns or ["0.5"])[0]), **axes)


def _check_recipes_alone(options: argparse.Namespace) -> None:
    """Raise BadInput for an axis of a grid whose sparsity was not said."""
    for axis in ("methods", "allocations", "seeds", "samples"):
        if getattr(options, axis) is not None:
            raise BadInput(
                f"--{axis} makes runs beside those of --recipe; say how much goes in them with --sparsity or "
                f"--pattern, or leave --{axis} out."
            )


def _search(options: argparse.Namespace) -> int:
    """Find the highest sparsity within a bound: one run after another, each asked for by the results before it."""
    store = Store()
    search = search_from(options)
    jobs = [bisection.first_job(search)] * bisection.MOST_RUNS
    needs = _estimated(jobs, options, store, asked_by_results=True)
    _say_needs(needs, len(jobs), (), "At most ")
    if options.dry_run:
        _print_plan(jobs[:1], needs, (), options.json)
        return 0
    launcher = Launcher(store, advance=bisection.advance, only=LOCAL)
    return _follow(launcher, store.create_study(BISECTION, jobs[:1], asked=search), options)


def search_from(options: argparse.Namespace) -> Bisection:
    """What is looked for; raises BadInput for what a search cannot take."""
    for axis in ("sparsity", "pattern"):
        if getattr(options, axis) is not None:
            raise BadInput(f"--within looks for the sparsity itself; leave --{axis} out.")
    methods = _listed(options.method) or _listed(options.methods)
    seeds, samples = _numbers("--seeds", options.seeds), _numbers("--samples", options.samples)
    if len(methods) > 1 or len(seeds) > 1 or len(samples) > 1 or len(_listed(options.allocations)) > 1:
        raise BadInput("--within searches with one method, allocation, seed and number of windows at a time.")
    if options.recipe:
        raise BadInput("--within looks for its runs itself; leave --recipe out.")
    plain = {"sparsity": "0.5", "methods": ",".join(methods) or None}
    space = space_from(argparse.Namespace(**vars(options) | plain))
    base = space.expand().jobs[0]
    return make_value(Bisection, base=base, within=options.within)


def _sketch(options: argparse.Namespace) -> Prune:
    return Prune.model_validate({"model": {"id": options.model or "?"}, "method": "apt"})


def _base(options: argparse.Namespace, method: str, pattern: str) -> Prune:
    """The job of the first combination, which holds what all have in common."""
    settings = options.set or []
    own: dict[str, Any] = {"method": method, "set": settings, "pattern": pattern, "sparsity": None}
    return prune_from(argparse.Namespace(**vars(options) | own))


def _listed(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _numbers(flag: str, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(one) for one in _listed(text))
    except ValueError as error:
        raise BadInput(f"{flag} takes whole numbers with commas, not {str(text)[:40]!r}.") from error


def _estimated(
    jobs: Sequence[Prune], options: argparse.Namespace, store: Store, asked_by_results: bool = False
) -> Estimate:
    """What all of them take; raises BadInput for what cannot work, before anything is queued."""
    facts = facts_for(jobs[0], options.policy, store)
    each = [estimate(job, facts, policy=options.policy) for job in jobs]
    needs = together(jobs, each, facts, asked_by_results, *_executor(options).places())
    if needs.refusal:
        raise BadInput(needs.refusal)
    return needs


def _executor(options: argparse.Namespace) -> Executor:
    """As the environment says, but for how many runs work side by side, where that was asked for."""
    if options.at_once is None:
        return executor_of(os.environ)
    runs = _numbers("--at-once", options.at_once)
    if len(runs) != 1 or not 1 <= runs[0] <= _MOST_AT_ONCE:
        raise BadInput(
            f"--at-once takes one whole number from 1 to {_MOST_AT_ONCE:,}, not {options.at_once[:20]!r}."
        )
    return executor_of({**os.environ, "APT_AT_ONCE": str(runs[0])})


def _say_needs(needs: Estimate, runs: int, dropped: Sequence[str], bound: str = "") -> None:
    beside = f", up to {needs.at_once} at once" if needs.at_once > 1 else ""
    about = f", about {words.duration(needs.seconds)}" if needs.seconds is not None else ""
    say(f"{bound}{runs} {'run' if runs == 1 else 'runs'}{beside}{about}.")
    for sentence in (*needs.sentences, *dropped):
        say(f"  {sentence}")


def _print_plan(jobs: Sequence[Prune], needs: Estimate, dropped: Sequence[str], as_json: bool) -> None:
    """What `--dry-run` prints: the jobs and the estimate."""
    if not as_json:
        rows = [(*job.labels, str(job.seed), str(job.calibration.samples)) for job in jobs]
        print(table(("method", "pattern", "seed", "windows"), rows, 2))
        return
    said: dict[str, Any] = {"runs": [_asked(job) for job in jobs], "dropped": list(dropped)}
    print_json(said | {"estimate": needs.model_dump(include={"seconds", "memory_bytes", "disk_bytes"})})


def _asked(job: Prune) -> dict[str, Any]:
    return {
        "method": job.method.name,
        "pattern": job.pattern.label,
        "allocation": job.method.allocation.name,
        "options": job.method.model_dump(),
        "seed": job.seed,
        "samples": job.calibration.samples,
    }


def _resume(options: argparse.Namespace) -> int:
    given = [f"--{axis}" for axis in _AXES if getattr(options, axis) is not None]
    if given or options.model is not None:
        raise BadInput(f"--resume goes on with what was asked for; leave {(given or ['--model'])[0]} out.")
    launcher = Launcher(Store(), advance=bisection.advance, only=LOCAL, executor=_executor(options))
    study = launcher.store.study(options.resume)
    check_is_sweep(study)
    if study.owner != LOCAL:
        raise NotYours(
            f"Study {study.id} was asked for by a visitor of the page; only they can resume it, there."
        )
    check_terms(study.jobs[0].model, options.accept_terms)
    study = launcher.store.renew_study(study.id)
    bisection.advance(launcher.store, study.id)  # the last result may wait for what follows from it
    return _follow(launcher, launcher.store.study(study.id), options)


def _follow(launcher: Launcher, study: Study, options: argparse.Namespace) -> int:
    """Wait for every run of the study, one line each; Ctrl-C stops all of them. Prints the table or the JSON."""
    say(f"Study {study.id}")
    interrupted, seen = False, 0
    stop_all = partial(launcher.store.cancel_study, study.id)
    while not interrupted and seen < len(study.runs):
        record, interrupted = follow(launcher, study.runs[seen], stop_all)
        if not interrupted:
            say(_line(Row(record.id, record.pruning, record)))
            bisection.advance(launcher.store, study.id)
        seen, study = seen + 1, launcher.store.study(study.id)
    return _end(launcher.store, study, interrupted, options.json)


def _end(store: Store, study: Study, interrupted: bool, as_json: bool) -> int:
    """The result of a study that has ended, and its exit status: that of the first run that did not finish."""
    records = store.runs_of(study.id)
    rows = rows_of(study, records)
    found = bisection.result_json(study, records) if study.kind == BISECTION else None
    if as_json:
        print_json(sweep_json(study, rows) | ({"found": found} if found else {}))
    else:
        print(table(_HEADS, list(map(_cells, rows)), 2))
        print(_seconds_sentence(rows))
        if found and found["sentence"]:
            print(found["sentence"])
    if interrupted:
        say(f"Stopped. Go on with: sweep --resume {study.id}")
        return INTERRUPTED
    broken = [row.record for row in rows if row.record and must_be_renewed(study, row.record)]
    errors = [error for record in broken if (error := error_of(record))]
    return exit_status_of(errors[0]["kind"]) if errors else 0


def _line(row: Row) -> str:
    """'APT · 50% · perplexity 22.0 (1.48x) · 28 s'."""
    if row.perplexity is None:
        return f"{row.job.label} · {row.status}" + (f": {row.failure}" if row.failure else "")
    figures = f"perplexity {words.number(row.perplexity)} ({words.times(row.ratio)})"
    return f"{row.job.label} · {figures} · {words.duration(row.seconds)}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        *row.job.labels,
        str(row.job.seed),
        str(row.job.calibration.samples),
        row.status,
        words.number(row.perplexity),
        words.times(row.ratio),
        words.number(row.seconds),
        row.run,
    )


def _seconds_sentence(rows: Sequence[Row]) -> str:
    spent = total_seconds(rows)
    return (
        f"Together {words.duration(spent['total'])}; one by one they would have taken "
        f"{words.duration(spent['alone'])} by the measured stages."
    )
