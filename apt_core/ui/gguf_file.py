"""The pruned model of a run as a GGUF file, written when somebody asks for it and removed once it is sent.

Tensor by tensor and without torch, as the command line writes it; one at a time, since each takes the disk for a while.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, PlainTextResponse, Response

from apt_core.base.errors import DiskFull, OverQuota, PruneError
from apt_core.base.out_of_room import is_disk_full
from apt_core.base.paths import cache_dir
from apt_core.events.records import RunRecord
from apt_core.models.checkpoint import headers, to_gguf
from apt_core.ui.model_files import plain_content
from apt_core.ui.studio import Studio

_PREFIX = "gguf-"
_LEFT_OVER_SECONDS = 3600.0  # of a download that nobody took to its end
_BUSY = "Another GGUF file is being written just now; try again in a minute."
_making = threading.Lock()


def gguf_response(studio: Studio, record: RunRecord, checkpoint: Path, name: str) -> Response:
    """The file; what cannot be written is one sentence."""
    if not _making.acquire(blocking=False):
        return PlainTextResponse(_BUSY, status_code=503)
    try:
        studio.take_look()
        _remove_left_overs()
        file = _written(checkpoint, f"{studio.title(record)} {record.job.label}")
    except OverQuota as error:
        return PlainTextResponse(str(error), status_code=429)
    except PruneError as error:
        return PlainTextResponse(str(error), status_code=404)
    finally:
        _making.release()
    after = BackgroundTask(shutil.rmtree, file.parent, ignore_errors=True)
    return FileResponse(file, filename=name, media_type="application/octet-stream", background=after)


def _written(checkpoint: Path, title: str) -> Path:
    """A file in a folder of its own. Raises BadInput where the model has no form as GGUF, DiskFull."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=cache_dir()))
    try:
        source = _plain(checkpoint, folder / "plain")
        to_gguf.write(source, folder / "model.gguf", title)
        shutil.rmtree(folder / "plain", ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and is_disk_full(error):
            raise DiskFull(
                "There is no room to write the GGUF file; free some space and try again."
            ) from error
        raise
    return folder / "model.gguf"


def _plain(checkpoint: Path, beside: Path) -> Path:
    """The checkpoint itself, or, of a packed one, its files as they were before."""
    if not headers.is_packed(checkpoint):
        return checkpoint
    for name, pieces in plain_content(checkpoint):
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        with (beside / name).open("wb") as target:
            target.writelines(pieces)
    return beside


def _remove_left_overs() -> None:
    for folder in cache_dir().glob(f"{_PREFIX}*"):
        if folder.is_dir() and time.time() - folder.stat().st_mtime > _LEFT_OVER_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
