"""The pruned model of a run as a GGUF file, written when somebody asks for it and removed once it is sent.

Tensor by tensor and without torch, as the command line writes it; one at a time, since each takes the disk for a while.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from starlette.responses import PlainTextResponse, Response

from apt_core.base.errors import DiskFull, OverQuota, PruneError
from apt_core.base.out_of_room import is_disk_full
from apt_core.events.records import RunRecord
from apt_core.models.checkpoint import headers, to_gguf
from apt_core.models.checkpoint.plain_files import as_plain
from apt_core.ui import gguf_room
from apt_core.ui.studio import Studio

_BUSY = "Another GGUF file is being written or sent just now; try again in a minute."
_REMOVED = "The pruned weights were removed to save disk space; prune again."
_making = threading.Lock()


def gguf_response(studio: Studio, record: RunRecord, checkpoint: Path, name: str) -> Response:
    """The file; what cannot be written is one sentence."""
    if not _making.acquire(blocking=False):
        return PlainTextResponse(_BUSY, status_code=503)
    try:
        gguf_room.remove_left_overs()
        if gguf_room.is_taken():
            return PlainTextResponse(_BUSY, status_code=503)
        to_gguf.check(checkpoint)
        studio.take_look()
        file = _written(checkpoint, f"{studio.title(record)} {record.job.label}")
    except OverQuota as error:
        return PlainTextResponse(str(error), status_code=429)
    except (PruneError, OSError) as error:
        if studio.checkpoint(record.id) is None:
            return PlainTextResponse(_REMOVED, status_code=404)
        if not isinstance(error, PruneError):
            raise
        return PlainTextResponse(str(error), status_code=404)
    finally:
        _making.release()
    return gguf_room.SentOnce(file, filename=name, media_type="application/octet-stream")


def _written(checkpoint: Path, title: str) -> Path:
    """A file in a folder of its own. Raises BadInput where the model has no form as GGUF, DiskFull."""
    copies = 2 if headers.is_packed(checkpoint) else 1  # a packed one is unpacked beside it
    folder = gguf_room.new_folder(copies * headers.unpacked_bytes(checkpoint))
    try:
        with as_plain(checkpoint, folder / "plain") as source:
            to_gguf.write(source, folder / "model.gguf", title)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and is_disk_full(error):
            raise DiskFull(gguf_room.NO_ROOM) from error
        raise
    return folder / "model.gguf"
