"""Which process knows the Hub token of a run: its pid and birth lie in the run's folder, the token does not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from apt_core.runs import processes

_FILE = "token-holder.json"


class Holder(NamedTuple):
    pid: int
    created: float | None

    def is_alive(self) -> bool:
        return self.created is not None and processes.birth(self.pid) == self.created


def mark(folder: Path) -> None:
    """This process knows the token of this run."""
    holder = Holder(os.getpid(), processes.birth(os.getpid()))
    (folder / _FILE).write_text(json.dumps(holder), encoding="utf-8")


def of(folder: Path) -> Holder | None:
    """None for a run that needs no token of a visitor."""
    try:
        return Holder(*json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Holder(0, None)  # torn: nobody knows the token any more
