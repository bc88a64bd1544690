"""The files of a repository, fetched side by side into huggingface_hub's cache; each goes on where it stopped.

    resolve/<commit>/<file> -> blobs/<etag>.incomplete -> blobs/<etag> -> snapshots/<commit>/<file>

huggingface_hub lays out the last step. It does not fetch the bytes, because its later versions throw away
what has arrived of a file when they are stopped.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.utils import build_hf_headers
from tqdm import tqdm

from apt_core.base.errors import BadDownload, GatedModel, NotReachable
from apt_core.base.words import size
from apt_core.events import FileBytes
from apt_core.models.fetch import disk, hub_cache
from apt_core.models.fetch.network import CONNECT_SECONDS
from apt_core.models.fetch.package_index import certificates
from apt_core.models.fetch.progress import Report

_AT_ONCE = 4
_READ_SECONDS = 15
_TRIES = 5  # without a byte between them; a connection that brought something is resumed
_SECONDS_BETWEEN_LOOKS = 0.25
_SMALL = 0.01  # of the whole: files below it are reported as one
_ETAG = re.compile(r"[A-Za-z0-9._-]{1,200}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Stopped(Exception):
    """This download is not needed any more; what has arrived is kept."""


class Wanted(NamedTuple):
    repo: str
    revision: str
    commit: str
    sizes: Mapping[str, int]  # file name -> bytes


def fetch(wanted: Wanted, report: Report, token: str | bool | None) -> Path:
    """The folder of the whole snapshot. An exception that `report` raises stops all files within a second.

    Raises what huggingface_hub raises, or NotReachable, GatedModel, BadDownload, DiskFull with one sentence.
    """
    arrived = Arrived(wanted)
    storage = hub_cache.storage_of(wanted.repo)

    def waiting() -> None:
        report("download", *arrived.whole, f"{wanted.repo}, by another process")

    with disk.locked(storage, waiting):
        _check_room(wanted, storage)
        _all_at_once(wanted, storage / "blobs", arrived, report, token)
        return _laid_out(wanted, token)


class Arrived:
    """How many bytes of every file are here; written by the threads that fetch, read by the one that tells."""

    def __init__(self, wanted: Wanted):
        self._sizes = dict(wanted.sizes)
        self._done = dict.fromkeys(wanted.sizes, 0)

    def tell(self, name: str, done: int) -> None:
        self._done[name] = done

    @property
    def whole(self) -> tuple[int, int]:
        """(bytes here, bytes in all)."""
        return sum(self._done.values()), sum(self._sizes.values())

    def files(self) -> tuple[FileBytes, ...]:
        """Every large file, then the small ones as one."""
        least = _SMALL * sum(self._sizes.values())
        large = sorted(name for name, n_bytes in self._sizes.items() if n_bytes >= least)
        small = [name for name in self._sizes if name not in large]
        reported = [FileBytes(name=name, done=self._done[name], total=self._sizes[name]) for name in large]
        if small:
            many = small[0] if len(small) == 1 else f"{len(small)} small files"
            done, total = (sum(of[name] for name in small) for of in (self._done, self._sizes))
            reported.append(FileBytes(name=many, done=done, total=total))
        return tuple(reported)


def _check_room(wanted: Wanted, storage: Path) -> None:
    have = sum(file.stat().st_size for file in (storage / "blobs").glob("*") if file.is_file())
    disk.require_space(hub_cache.our_cache(), max(0, sum(wanted.sizes.values()) - have), wanted.repo)


def _all_at_once(
    wanted: Wanted, blobs: Path, arrived: Arrived, report: Report, token: str | bool | None
) -> None:
    """Four daemon threads take the files one after another; this thread tells how far they are."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in sorted(wanted.sizes, key=wanted.sizes.__getitem__):  # the small ones are soon done
        waiting.put(name)
    stop, troubles = threading.Event(), []

    def work() -> None:
        try:
            with _client() as http:
                while not stop.is_set():
                    _File(wanted, waiting.get_nowait(), blobs, arrived, token).fetch(http, stop)
        except (queue.Empty, Stopped):
            pass
        except BaseException as error:  # raised again in the thread that waits
            troubles.append(error)
            stop.set()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_AT_ONCE, len(wanted.sizes)))]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads) and not troubles:
            report("download", *arrived.whole, wanted.repo, arrived.files())
            _wait_for(threads)
        if troubles:
            raise troubles[0]
        report("download", *arrived.whole, wanted.repo, arrived.files())
    finally:
        stop.set()  # a thread that still waits for its server writes nothing afterwards


def _client() -> httpx.Client:
    return httpx.Client(
        verify=certificates(),
        follow_redirects=True,
        timeout=httpx.Timeout(_READ_SECONDS, connect=CONNECT_SECONDS),
        headers={"Accept-Encoding": "identity"},  # the bytes as they lie there, so that they can be counted
    )


def _wait_for(threads: list[threading.Thread]) -> None:
    last = next((thread for thread in threads if thread.is_alive()), threads[0])
    last.join(_SECONDS_BETWEEN_LOOKS)


class _File:
    """One file on its way."""

    def __init__(self, wanted: Wanted, name: str, blobs: Path, arrived: Arrived, token: Any):
        self._repo, self._commit, self.name = wanted.repo, wanted.commit, name
        self._size = wanted.sizes[name]
        self._blobs, self._arrived, self._token = blobs, arrived, token

    def fetch(self, http: httpx.Client, stop: threading.Event) -> None:
        url = huggingface_hub.hf_hub_url(self._repo, self.name, revision=self._commit)
        known = huggingface_hub.get_hf_file_metadata(url, token=self._token, timeout=_READ_SECONDS)
        if not known.etag or not _ETAG.fullmatch(known.etag):
            raise BadDownload(
                f"The Hub gives no sound name for {self.name} of {self._repo}; try again later."
            )
        self._size = known.size or self._size
        blob = self._blobs / known.etag
        if not blob.exists():
            blob.parent.mkdir(parents=True, exist_ok=True)
            part = blob.with_name(f"{blob.name}.incomplete")
            part.touch()  # a file may be empty
            resumed = _length(part) > 0
            self._fill(part, url, http, stop)
            if resumed and not _is(part, known.etag):
                part.unlink()  # its beginning was of another download
                self._fill(part, url, http, stop)
            part.replace(blob)
        self._arrived.tell(self.name, self._size)

    def _fill(self, part: Path, url: str, http: httpx.Client, stop: threading.Event) -> None:
        """Append to `part` until it is whole; a dropped connection is resumed."""
        left = _TRIES
        while _length(part) != self._size:
            before = _length(part)
            try:
                self._stream(part, url, http, stop)
            except httpx.HTTPError as error:
                left = _TRIES if _length(part) > before else left - 1
                if left <= 0:
                    raise self._dropped(part) from error
                stop.wait(0.5)
            else:
                if _length(part) == before:
                    raise self._dropped(part)
            if stop.is_set():
                raise Stopped

    def _stream(self, part: Path, url: str, http: httpx.Client, stop: threading.Event) -> None:
        """One connection: ask for what is missing and append it."""
        have = _length(part)
        if have > self._size:
            part.unlink()
            have = 0
        self._arrived.tell(self.name, have)
        with http.stream("GET", url, headers=self._headers(have)) as answer:
            if answer.status_code not in (200, 206):
                raise self._refused(answer.status_code)
            have = have if answer.status_code == 206 else 0
            with part.open("ab" if have else "wb", buffering=0) as file:
                for chunk in answer.iter_raw():
                    if stop.is_set():
                        raise Stopped
                    file.write(chunk)
                    have += len(chunk)
                    self._arrived.tell(self.name, have)

    def _headers(self, have: int) -> dict[str, str]:
        """httpx leaves the token out where the Hub sends us on to another host."""
        return build_hf_headers(token=self._token) | ({"Range": f"bytes={have}-"} if have else {})

    def _refused(self, status: int) -> Exception:
        if status in (401, 403):
            return GatedModel(
                f"The Hub does not give {self.name} of {self._repo} to this account; accept the terms at "
                f"{constants.ENDPOINT}/{self._repo} and try again."
            )
        return NotReachable(
            f"The Hub answered {status} for {self.name} of {self._repo}; try again later, "
            "and the download goes on from there."
        )

    def _dropped(self, part: Path) -> NotReachable:
        return NotReachable(
            f"The connection to the Hub was lost after {size(_length(part))} of {size(self._size)} of "
            f"{self.name}; try again, and the download goes on from there."
        )


def _laid_out(wanted: Wanted, token: str | bool | None) -> Path:
    """The snapshot's folder, its names bound to the files that are here now."""
    folder = huggingface_hub.snapshot_download(
        wanted.repo,
        revision=wanted.revision,
        cache_dir=hub_cache.our_cache(),
        allow_patterns=list(wanted.sizes),
        token=token,
        etag_timeout=_READ_SECONDS,
        max_workers=_AT_ONCE,
        tqdm_class=_SilentBar,
    )
    return Path(folder)


class _SilentBar(tqdm):
    """Draws nothing."""

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.pop("name", None)
        super().__init__(*args, **kwargs | {"disable": True})


def _length(file: Path) -> int:
    with suppress(OSError):
        return file.stat().st_size
    return 0  # not there yet


def _is(file: Path, etag: str) -> bool:
    """False when the name of a file is the sha256 of another content; other names say nothing about it."""
    return not _SHA256.fullmatch(etag) or disk.sha256_of(file) == etag
