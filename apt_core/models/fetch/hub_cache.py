"""Models of the Hub that are already on this machine, found without asking anybody. No torch, no network."""

from __future__ import annotations

import os
import re
from pathlib import Path

from apt_core.base.errors import NotAModel
from apt_core.base.paths import cache_dir
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.checkpoint import headers as checkpoints

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
DEFAULT_REVISION = "main"
FOR_MEMBERS = ".for-members"  # an empty file in the storage of a gated or private repository
_LICENCE = ".licence"  # a file beside it: what the repository's card said when it was downloaded
_LONGEST_LICENCE = 200


def is_hub_id(text: str) -> bool:
    """owner/name in the letters that the Hub allows; never a path that climbs."""
    return bool(HUB_ID.fullmatch(text)) and ".." not in text and "--" not in text


def our_cache() -> Path:
    return cache_dir() / "hub"


def storage_of(repo: str, cache: Path | None = None) -> Path:
    """Where everything of a repository lies; the layout is documented by huggingface_hub."""
    return (cache or our_cache()) / f"models--{repo.replace('/', '--')}"


def snapshot(repo: str, revision: str | None = None, policy: HostPolicy = STRICT) -> Path | None:
    """The whole snapshot of a repository, from our cache or the user's own Hugging Face cache.

    On a public host from ours alone: its owner may have cached what visitors are not allowed to see. And not
    what only some visitors may read: the Hub is asked again for each of them.
    """
    if policy.public and (storage_of(repo) / FOR_MEMBERS).exists():
        return None
    for cache in (our_cache(),) if policy.public else (our_cache(), _users_cache()):
        folder = _snapshot_in(cache, repo, revision or DEFAULT_REVISION)
        if folder is not None and is_whole(folder):
            return folder
    return None


def _snapshot_in(cache: Path, repo: str, revision: str) -> Path | None:
    """The layout is documented: models--owner--name/refs/<revision> names the folder in snapshots/."""
    storage = storage_of(repo, cache)
    ref = storage / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    folder = storage / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def keep_licence(repo: str, licence: str | None) -> None:
    """Remember the licence that the Hub states for a repository which is downloaded to our cache."""
    storage = storage_of(repo)
    if licence:
        storage.mkdir(parents=True, exist_ok=True)
        (storage / _LICENCE).write_text(licence[:_LONGEST_LICENCE], encoding="utf-8")


def licence_of(name: str) -> str | None:
    """What was remembered for `owner/name` or `owner/name:file.gguf`; None where nothing was."""
    repo = name.partition(":")[0]
    if not is_hub_id(repo):
        return None
    try:
        return (storage_of(repo) / _LICENCE).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def is_whole(folder: Path) -> bool:
    """False also for a snapshot whose names lead to files that were taken away."""
    try:
        checkpoints.check(folder)
    except (NotAModel, OSError):
        return False
    return True


def _users_cache() -> Path:
    if set_by_user := os.environ.get("HF_HUB_CACHE"):
        return Path(set_by_user).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"
