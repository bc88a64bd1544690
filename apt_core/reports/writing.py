"""Files and folders that are handed out: whole or not at all, and replacing others only on request."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apt_core.base.errors import BadInput, CannotWrite, DiskFull, PruneError
from apt_core.base.out_of_room import is_disk_full
from apt_core.events.records import RunRecord

JOB_COPY = "apt_recipe.json"  # beside a copied checkpoint: says which model is its dense one


def free_folder(out: str | Path, named: str = "--out") -> Path:
    """The folder for what is made, with its whole path; raises BadInput when something is in it already. named: what
    the caller calls it."""
    folder = Path(out).expanduser().resolve()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInput(f"{named} {out} exists already; choose a new or empty folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"{named} {out} cannot be written ({error.strerror}); choose another folder."
        ) from error
    return folder


def copy_of_a_run(checkpoint: Path, out: Path, record: RunRecord) -> Path:
    """The checkpoint and its job under `out`, whole or not at all."""
    partial = out.with_name(f".{out.name}.partial-{record.id}")
    try:
        shutil.copytree(checkpoint, partial)
        (partial / JOB_COPY).write_text(record.job.model_dump_json(indent=2), encoding="utf-8")
        partial.replace(out)  # also over an empty folder
    except (OSError, shutil.Error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        kept = f"the pruned weights are in {checkpoint}"
        if is_disk_full(error) or "no space left" in str(error).lower():
            raise DiskFull(f"The disk of {out} is full, so nothing was copied; {kept}.") from error
        raise PruneError(f"The result could not be copied to {out}; {kept}.") from error
    return out


def check_file(file: Path, replace: bool) -> None:
    """Raise CannotWrite where no file can be written, before any work is done for it."""
    if file.is_dir():
        raise CannotWrite(f"{file} is a folder; name a file.")
    if file.exists() and not replace:
        raise CannotWrite(f"{file} exists already; name another file, or replace it with --force.")
    if not file.parent.is_dir():
        raise CannotWrite(f"There is no folder {file.parent}; make it first, or name another.")


def check_folder(folder: Path, replace: bool) -> None:
    """Raise CannotWrite where no folder can be written. An empty one counts as free."""
    if folder.exists() and not folder.is_dir():
        raise CannotWrite(f"{folder} is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not replace:
        raise CannotWrite(f"{folder} is not empty; name another folder, or replace it with --force.")
    if not folder.parent.is_dir():
        raise CannotWrite(f"There is no folder {folder.parent}; make it first, or name another.")


@contextmanager
def new_file(file: Path, replace: bool = False) -> Iterator[Path]:
    """A place beside `file` to write to, which becomes `file` at the end. Raises CannotWrite with one sentence."""
    check_file(file, replace)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, file)
    except Exception as error:
        raise _translated(error, file) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, replace: bool = False) -> Iterator[Path]:
    """An empty folder beside `folder`, which takes its place at the end. Raises CannotWrite with one sentence."""
    check_folder(folder, replace)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    before = folder.with_name(f".{folder.name}.{os.getpid()}.before")
    try:
        partial.mkdir()
        yield partial
        if folder.is_dir():
            folder.rename(before)
        partial.rename(folder)
    except Exception as error:
        raise _translated(error, folder) from error
    finally:
        if before.is_dir() and not folder.exists():
            before.rename(folder)
        for left_over in (partial, before):
            shutil.rmtree(left_over, ignore_errors=True)


def _translated(error: Exception, place: Path) -> Exception:
    """One sentence where the disk is in the way; any other error as it is."""
    if is_disk_full(error):
        return CannotWrite(
            f"The disk that holds {place.parent} is full, so nothing was written; free some space."
        )
    if isinstance(error, OSError):
        return CannotWrite(f"{place} cannot be written ({error.strerror or error}); name another place.")
    return error
