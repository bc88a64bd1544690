"""APT Studio's library: prune a language model, look at what it cost, read what it writes.

    import apt_core

    record = apt_core.prune("smollm2-135m", method="wanda", sparsity=0.5, samples=8)
    record                              # in a notebook: verdict, figures, a small chart
    record.to_frame()                   # its layers, as a pandas DataFrame
    record.plot("layers")               # a plotly figure of the page
    model, tokenizer = record.load_model()

    recovered = apt_core.recover(record, method="spp", steps=50)
    apt_core.compare([record, recovered]).report("comparison.html")

    apt_core.allocation("smollm2-135m", "alphapruning", 0.7).to_frame()

    apt_core.prune_model(model, tokenizer, texts, sparsity=0.5)  # an nn.Module that you hold, in place

    for event in apt_core.run(apt_core.plan("smollm2-135m", method="sparsegpt", sparsity=0.5)):
        print(event)

Runs are stored where the page and the command line find them (`store=False` leaves that out). Importing this package
loads no torch; the first call that computes does. Errors are classes of `PruneError`, each with one plain sentence.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from apt_core.base import errors as _errors
from apt_core.base.errors import *  # noqa: F403 - the error classes, named by its __all__

if TYPE_CHECKING:
    from apt_core.library.asking import plan
    from apt_core.library.calls import (
        allocation,
        compare,
        evaluate,
        generate,
        law,
        load_model,
        prune,
        record,
        records,
        recover,
        run,
        search,
    )
    from apt_core.library.held import prune_model
    from apt_core.library.results import Comparison, Laws, LayerShares, Record

# transformers would otherwise fetch compiled kernels from the Hub for models with a device map, and run them.
os.environ["USE_HUB_KERNELS"] = "NO"

__version__ = "0.2.0"
_ELSEWHERE = {
    **dict.fromkeys(("Comparison", "Laws", "LayerShares", "Record"), "results"),
    **{"plan": "asking", "prune_model": "held"},
}
__all__ = [
    "Comparison",
    "Laws",
    "LayerShares",
    "Record",
    "allocation",
    "compare",
    "evaluate",
    "generate",
    "law",
    "load_model",
    "plan",
    "prune",
    "prune_model",
    "record",
    "records",
    "recover",
    "run",
    "search",
    *_errors.__all__,
]


def __getattr__(name: str) -> Any:
    """The public names, imported when one is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"apt_core.library.{_ELSEWHERE.get(name, 'calls')}")
    found = globals()[name] = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
