"""The states of a run. Imports nothing slow: the command line draws its flags with it."""

from __future__ import annotations

from typing import Literal

Status = Literal["queued", "running", "stopping", "finished", "failed", "cancelled"]
LIVE: tuple[Status, ...] = ("queued", "running", "stopping")
