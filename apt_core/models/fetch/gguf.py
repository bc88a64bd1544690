"""Repositories that hold a model only as GGUF: which file is meant, and where its dequantised form lies. No torch.

`owner/name` means the most precise file, `owner/name:file.gguf` a certain one. Either is turned into bfloat16
safetensors once, as the GGUF of a package is (`convert`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from apt_core.base.errors import NotAModel
from apt_core.base.paths import cache_dir
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.fetch import hub_cache, manifest

_CONVERSION = 1  # raise it when what `convert` writes changes: old folders are then left alone
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,150}\.gguf", re.IGNORECASE)
_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
# The last word of a file name that says how it is packed: Q4_K_M, IQ2_XS, bf16 ...
_PACKING = re.compile(
    r"[-_.]((?:UD-)?(?:I?Q\d\w*|TQ\d\w*|MXFP4\w*|b?f(?:p)?16|f(?:p)?32))\.gguf$", re.IGNORECASE
)


class GgufFile(NamedTuple):
    """A file of a repository, and what the Hub read in it."""

    name: str
    parameters: int | None
    architecture: str | None  # as llama.cpp calls it
    context: int | None

    @property
    def packing(self) -> str:
        """'Q4_K_M'."""
        return packing_of(self.name) or "GGUF"


def split(name: str) -> tuple[str, str | None]:
    """'owner/name:file.gguf' -> its two parts; anything else as it is, and no file."""
    repo, _, file = name.partition(":")
    if file and hub_cache.is_hub_id(repo) and _FILE.fullmatch(file) and ".." not in file:
        return repo, file
    return name, None


def choose(sizes: Mapping[str, int], repo: str, named: str | None) -> str:
    """The file that is meant. Raises NotAModel with one sentence when there is none, or more than one model."""
    whole = [name for name in sizes if _is_model(name)]
    if named is not None:
        if named in whole:
            return named
        raise NotAModel(f"{repo} has no file {named} that is a whole model; {_names(whole, repo)}")
    if not whole:
        raise NotAModel(f"{repo} has its GGUF in parts, which cannot be read here; choose another model.")
    if len({_PACKING.sub("", name).lower() for name in whole}) > 1:
        raise NotAModel(f"{repo} holds several models; {_names(whole, repo)}")
    return max(whole, key=lambda name: sizes[name])  # fewer bits are fewer bytes


def packing_of(name: str) -> str | None:
    match = _PACKING.search(name)
    return match[1] if match else None


def folder_of(repo: str, file: str, revision: str) -> Path:
    """Where the dequantised form of a file lies, or will lie."""
    return _folders(repo) / f"{file}{_ending(revision)}"


def unpacked_from(folder: Path) -> str | None:
    """'Q4_K_M' for the dequantised form of a file, None for any other folder of a model."""
    if not folder.parent.name.startswith("gguf--"):
        return None
    file, _, _ = folder.name.partition(".gguf-")
    return packing_of(f"{file}.gguf") or "GGUF"


def cached(name: str, revision: str | None, policy: HostPolicy = STRICT) -> Path | None:
    """The dequantised model, when it is here and whole.

    None on a public host for what only some visitors may read: the Hub is asked again for each of them.
    """
    repo, file = split(name)
    if policy.public and (hub_cache.storage_of(repo) / hub_cache.FOR_MEMBERS).exists():
        return None
    revision = revision or hub_cache.DEFAULT_REVISION
    if file is not None:
        places = [folder_of(repo, file, revision)]
    elif hub_cache.is_hub_id(repo):
        ending = _ending(revision)
        there = sorted(_folders(repo).glob(f"*{ending}"))
        places = [place for place in there if place.name.removesuffix(ending).lower().endswith(".gguf")]
    else:
        places = []
    return next((place for place in places if manifest.is_whole(place)), None)


def _folders(repo: str) -> Path:
    return cache_dir() / "models" / f"gguf--{repo.replace('/', '--')}"


def _ending(revision: str) -> str:
    return f"-{quote(revision, safe='')}-v{_CONVERSION}"


def _is_model(name: str) -> bool:
    """At the top, whole, and no projector of pictures."""
    return bool(_FILE.fullmatch(name)) and not _PART.search(name) and "mmproj" not in name.lower()


def _names(whole: list[str], repo: str) -> str:
    if not whole:
        return "choose another model."
    return f"name one of them, such as {repo}:{sorted(whole)[0]}."
