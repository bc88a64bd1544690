"""Room for GGUF files on their way to whoever asked: few at once, on a disk that keeps a reserve, none left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import anyio
import psutil
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from apt_core.base.errors import DiskFull
from apt_core.base.paths import cache_dir
from apt_core.models.fetch.disk import free_bytes

MOST_FILES = 2  # that are written or sent
SENT_WITHIN_SECONDS = 2 * 3600.0  # after which a file that is read slowly goes
NO_ROOM = "There is no room to write the GGUF file; free some space and try again."
_RESERVE_BYTES = 1_000_000_000  # that runs and their index find
_LEFT_OVER_SECONDS = 2 * SENT_WITHIN_SECONDS  # longer than writing and sending take
_PREFIX = "gguf-"


def is_taken() -> bool:
    """Whether as many files as there may be are still on their way."""
    return len(_folders()) >= MOST_FILES


def new_folder(n_bytes: int) -> Path:
    """A folder for a file of about this size. Raises DiskFull where the disk would keep less than its reserve."""
    if free_bytes(cache_dir()) < n_bytes + _RESERVE_BYTES:
        raise DiskFull(NO_ROOM)
    cache_dir().mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=cache_dir()))


class SentOnce(FileResponse):
    """A file that goes with its folder once it is sent, nobody takes it any more, or its time is over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with anyio.move_on_after(SENT_WITHIN_SECONDS):
                await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(shutil.rmtree, Path(self.path).parent, True)


def remove_left_overs(at_start: bool = False) -> None:
    """Remove what nobody was sent to the end. at_start: before this process has written any."""
    for folder in _folders():
        process = folder.name.split("-")[1]
        gone = process.isdecimal() and not psutil.pid_exists(int(process))
        earlier = at_start and process == str(os.getpid())  # containers give the same id again
        if gone or earlier or time.time() - folder.stat().st_mtime > _LEFT_OVER_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _folders() -> list[Path]:
    return [folder for folder in cache_dir().glob(f"{_PREFIX}*") if folder.is_dir()]
