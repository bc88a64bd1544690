"""`cache`: the models that were downloaded or converted, and how to delete one."""

from __future__ import annotations

import argparse
import time

from apt_core.base import words
from apt_core.base.policy import LOCAL
from apt_core.cli.output import print_json, table
from apt_core.models.fetch.cache_list import CachedModel, list_cached
from apt_core.runs import models_in_use
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store


def show_list(options: argparse.Namespace) -> int:
    found, needed = list_cached(), models_in_use.in_use(_store())
    if options.json:
        print_json([_plain(model, needed) for model in found])
    elif found:
        heads = ("model", "from", "state", "last used", "size")
        print(table(heads, [_row(model, needed) for model in found], left=4))
        print(f"\n{words.size(sum(model.n_bytes for model in found))} in all.")
    else:
        print("No model has been downloaded yet; the bundled ones need none.")
    return 0


def delete(options: argparse.Namespace) -> int:
    freed = models_in_use.remove(_store(), options.model)
    if options.json:
        print_json({"model": options.model, "status": "deleted", "freed_bytes": freed})
    else:
        print(f"{options.model} is deleted; {words.size(freed)} are free again.")
    return 0


def _store() -> Store:
    """With the runs of dead workers marked as failed: they need no model any more."""
    launcher = Launcher(Store(), only=LOCAL)
    launcher.tick(start_next=False)
    return launcher.store


def _row(model: CachedModel, needed: set[str]) -> tuple[str, ...]:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.used_at)) if model.used_at else words.DASH
    state = "in use" if model.name in needed else "here" if model.whole else "partly here"
    return model.name, model.source, state, used, words.size(model.n_bytes)


def _plain(model: CachedModel, needed: set[str]) -> dict:
    return {
        "model": model.name,
        "source": model.source,
        "bytes": model.n_bytes,
        "used_at": model.used_at,
        "whole": model.whole,
        "in_use": model.name in needed,
    }
