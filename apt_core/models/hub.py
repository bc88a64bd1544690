"""The one edge to the Hugging Face Hub: asked briefly, downloaded by bytes, errors translated here.

HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN mean what they mean everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from apt_core.errors import GatedModel, NotAModel, NotReachable, PruneError, UnknownModel
from apt_core.models import checkpoints, disk, hub_files
from apt_core.models.catalogue import suggestion
from apt_core.models.hub_cache import DEFAULT_REVISION, FOR_MEMBERS, our_cache, storage_of
from apt_core.models.hub_files import Wanted
from apt_core.models.hub_token import handed, token
from apt_core.models.network import CONNECT_SECONDS, within
from apt_core.models.progress import Report
from apt_core.paths import is_public_host

# What a causal language model needs beside its weights, at the top of the repository; no pickle, no Python.
_COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "*.jinja",
)


class HubModel(NamedTuple):
    """What the Hub says about a repository before anything is downloaded."""

    repo: str
    revision: str
    commit: str  # what the revision means now
    license: str | None
    members_only: bool  # gated or private
    config: dict[str, Any]
    files: dict[str, int]  # wanted files and their bytes

    @property
    def download_bytes(self) -> int:
        return sum(self.files.values())


def endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def ask(repo: str, revision: str | None) -> HubModel:
    """Look a repository up, within 5 seconds, and refuse what is no safetensors causal language model."""
    return within(lambda: _ask(repo, revision or DEFAULT_REVISION), _no_answer(repo))


def ask_with_tensors(repo: str, revision: str | None) -> tuple[HubModel, dict[str, checkpoints.TensorFacts]]:
    """The same, and names and shapes of all tensors from the headers on the Hub; 5 seconds for both."""

    def both() -> tuple[HubModel, dict[str, checkpoints.TensorFacts]]:
        found = _ask(repo, revision or DEFAULT_REVISION)
        return found, _tensors_of(found)

    return within(both, _no_answer(repo))


def _tensors_of(found: HubModel) -> dict[str, checkpoints.TensorFacts]:
    from huggingface_hub import HfApi

    with translated(found.repo, found.revision):
        metadata = HfApi(token=token()).get_safetensors_metadata(found.repo, revision=found.revision)
    return {
        name: checkpoints.TensorFacts(facts.dtype, tuple(facts.shape))
        for file in metadata.files_metadata.values()
        for name, facts in file.tensors.items()
    }


def _ask(repo: str, revision: str) -> HubModel:
    from huggingface_hub import HfApi, hf_hub_download

    with translated(repo, revision):
        info = HfApi(token=token()).model_info(
            repo, revision=revision, files_metadata=True, timeout=CONNECT_SECONDS
        )
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        checkpoints.check_file_names(sizes, repo)
        file = hf_hub_download(
            repo,
            "config.json",
            revision=revision,
            cache_dir=our_cache(),
            token=token(),
            etag_timeout=CONNECT_SECONDS,
        )
    config = checkpoints.parse_json(Path(file).read_bytes(), f"config.json of {repo}")
    checkpoints.check_config(config, repo)
    card = info.card_data.to_dict() if info.card_data else {}
    return HubModel(
        repo=repo,
        revision=revision,
        commit=info.sha or revision,
        license=license_of(card),
        members_only=bool(info.gated or info.private),
        config=config,
        files=_wanted(sizes),
    )


def license_of(card: dict[str, Any]) -> str | None:
    """The licence of a model card, which people also write as a list."""
    stated = card.get("license_name") or card.get("license")
    if isinstance(stated, list):
        return ", ".join(map(str, stated)) or None
    return str(stated) if stated else None


def _wanted(sizes: dict[str, int]) -> dict[str, int]:
    """The files to download: one form of the weights, and their companions."""
    if checkpoints.SINGLE in sizes:
        patterns = (checkpoints.SINGLE, *_COMPANIONS)
    else:
        patterns = (checkpoints.INDEX, "*-of-*.safetensors", *_COMPANIONS)
    return {
        name: n_bytes
        for name, n_bytes in sizes.items()
        if "/" not in name and any(fnmatch(name, pattern) for pattern in patterns)
    }


def download(repo: str, revision: str | None, report: Report) -> Path:
    """The repository's safetensors folder in our cache, reported file by file; goes on where it stopped.

    Raises UnknownModel, GatedModel, NotAModel, NotReachable or DiskFull with one sentence.
    """
    found = ask(repo, revision)
    with disk.writing(our_cache()), translated(repo, found.revision):
        if found.members_only:
            (storage_of(repo) / FOR_MEMBERS).touch()
        folder = hub_files.fetch(Wanted(repo, found.revision, found.commit, found.files), report)
    checkpoints.check(folder)
    return folder


def _no_answer(repo: str) -> str:
    return (
        f"The Hub ({endpoint()}) does not answer, so {repo} cannot be looked up; connect to the network, "
        "or choose a model that is already here, such as tiny-random-llama."
    )


@contextmanager
def translated(repo: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub raises about `repo` into one of our sentences."""
    try:
        yield
    except PruneError:
        raise
    except Exception as error:
        if disk.is_full(error):
            raise
        raise _our_error(error, repo, revision) from error


def _our_error(error: Exception, repo: str, revision: str) -> Exception:
    from huggingface_hub import errors as hub

    match error:
        case hub.GatedRepoError():
            return GatedModel(_gated(repo))
        case hub.RevisionNotFoundError():
            return UnknownModel(f"{repo} has no revision '{revision}'; choose another, or leave it out.")
        case hub.RepositoryNotFoundError() | hub.DisabledRepoError() | hub.HFValidationError():
            return UnknownModel(f"The Hub has no public model {repo}.{suggestion(repo)}")
        case hub.NotASafetensorsRepoError() | hub.SafetensorsParsingError() | hub.RemoteEntryNotFoundError():
            return NotAModel(
                f"{repo} is not a whole safetensors model of the transformers library; choose another."
            )
        case hub.OfflineModeIsEnabled() | hub.LocalEntryNotFoundError() if _offline():
            return NotReachable(
                f"HF_HUB_OFFLINE is set and {repo} is not on this machine; "
                "unset it, or choose a model that is here."
            )
        case hub.HfHubHTTPError():
            status = error.response.status_code
            if status in (401, 403):
                return GatedModel(_gated(repo))
            return NotReachable(f"The Hub ({endpoint()}) answered {status} for {repo}; try again later.")
        case hub.HTTPError() | hub.LocalEntryNotFoundError() | ConnectionError() | TimeoutError():
            return NotReachable(_no_answer(repo))
    return error


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _gated(repo: str) -> str:
    """What to do, which depends on whose page this is and on whether somebody has signed in."""
    terms = f"{repo} is only for accounts that accepted its terms"
    if handed():
        return f"{terms}, and yours has not: accept them at {endpoint()}/{repo} and try again."
    if not is_public_host():
        return (
            f"{terms}: accept them at {endpoint()}/{repo}, then give a token of that account (in the page under "
            "Hub account, or as HF_TOKEN) and try again."
        )
    if os.environ.get("SPACE_ID"):
        return f"{terms}: accept them at {endpoint()}/{repo}, sign in with Hugging Face here, and try again."
    return f"{terms}, so this public page cannot load it."
