"""A checkpoint that is made of another one and replaces what bore its name before, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apt_core.models.checkpoint.companions import copy_companions, partial_of
from apt_core.models.checkpoint.plain_files import as_plain


@contextmanager
def replacing(target: Path, dense_folder: Path) -> Iterator[tuple[Path, Path]]:
    """(the dense model with plain weights, a folder with its companions that takes the target's name at the end).

    Written to a temporary name and renamed when whole, so a reader never meets half a checkpoint; the dense folder is
    only read. Raises BadInput when the new model would replace the dense one.
    """
    partial = partial_of(target, dense_folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with as_plain(dense_folder, partial.with_name(f"{partial.name}.dense")) as plain:
            copy_companions(plain, partial)
            yield plain, partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
