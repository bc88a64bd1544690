"""The only interface to the Hugging Face Hub: short requests, downloads by bytes, errors translated here.

HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN mean what they mean everywhere.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub  # light: what it offers is imported when it is used
from huggingface_hub import constants
from huggingface_hub import errors as hf
from huggingface_hub.utils import disable_progress_bars

from apt_core.base.errors import GatedModel, NotAModel, NotReachable, PruneError, UnknownModel
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.catalogue.entries import suggestion
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.fetch import disk, gguf, hub_files
from apt_core.models.fetch.gguf import GgufFile
from apt_core.models.fetch.hub_cache import (
    DEFAULT_REVISION,
    FOR_MEMBERS,
    keep_licence,
    our_cache,
    storage_of,
)
from apt_core.models.fetch.hub_files import Wanted
from apt_core.models.fetch.hub_token import handed, token
from apt_core.models.fetch.network import CONNECT_SECONDS, DEADLINE_SECONDS, within
from apt_core.models.fetch.progress import Report

_MOST_FILES = 500  # of weights
_MOST_TENSORS = 300_000
_HEADERS_AT_ONCE = 4
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
    gguf: GgufFile | None = None  # for a repository without safetensors: its one wanted file

    @property
    def download_bytes(self) -> int:
        return sum(self.files.values())


def endpoint() -> str:
    return constants.ENDPOINT


def ask(name: str, revision: str | None, policy: HostPolicy = STRICT) -> HubModel:
    """Look a repository up, within 5 seconds, and refuse what is no causal language model that can be read.

    name: `owner/name`, or `owner/name:file.gguf`.
    """
    return within(lambda: _ask(name, revision or DEFAULT_REVISION, policy), _no_answer(name))


def check_may_read(found: HubModel, policy: HostPolicy = STRICT) -> None:
    """Of a gated repository the Hub shows everybody what it holds; a file it gives to those alone who may read it.
    Raises GatedModel for others."""
    if not found.members_only:
        return
    with translated(found.repo, found.revision, policy):
        url = huggingface_hub.hf_hub_url(found.repo, next(iter(found.files)), revision=found.commit)
        huggingface_hub.get_hf_file_metadata(url, token=token(policy), timeout=CONNECT_SECONDS)


def ask_with_tensors(
    name: str, revision: str | None, policy: HostPolicy = STRICT
) -> tuple[HubModel, dict[str, checkpoints.TensorFacts]]:
    """The same, and names and shapes of all tensors from the headers on the Hub; 5 seconds for both.

    No tensors of a GGUF: its shapes are known when it is here.
    """

    def both() -> tuple[HubModel, dict[str, checkpoints.TensorFacts]]:
        found = _ask(name, revision or DEFAULT_REVISION, policy)
        if found.gguf:
            return found, {}
        tensors = _tensors_of(found, policy)
        checkpoints.check_agreement(found.config, tensors, found.repo)
        return found, tensors

    return within(both, _no_answer(name))


def _tensors_of(found: HubModel, policy: HostPolicy) -> dict[str, checkpoints.TensorFacts]:
    """From the headers of its files, a few at a time: nobody knows how long they are before they are here."""
    draw_no_bars()
    api, until = huggingface_hub.HfApi(token=token(policy)), time.monotonic() + DEADLINE_SECONDS
    files = [name for name in found.files if name.endswith(".safetensors")]
    if len(files) > _MOST_FILES:
        raise NotAModel(f"The weights of {found.repo} are {len(files):,} files; choose a model with fewer.")

    def header_of(file: str) -> Any:
        return api.parse_safetensors_file_metadata(found.repo, file, revision=found.commit).tensors

    tensors: dict[str, checkpoints.TensorFacts] = {}
    with translated(found.repo, found.revision, policy), ThreadPoolExecutor(_HEADERS_AT_ONCE) as threads:
        for start in range(0, len(files), _HEADERS_AT_ONCE):
            for header in threads.map(header_of, files[start : start + _HEADERS_AT_ONCE]):
                for name, facts in header.items():
                    tensors[name] = checkpoints.TensorFacts(facts.dtype, tuple(facts.shape))
            if len(tensors) > _MOST_TENSORS:
                raise NotAModel(
                    f"{found.repo} has more than {_MOST_TENSORS:,} tensors; choose another model."
                )
            if time.monotonic() > until:  # nobody waits any more
                break
    return tensors


def draw_no_bars() -> None:
    """huggingface_hub would draw its own over our line in the terminal, or into our log."""
    with warnings.catch_warnings(action="ignore"):  # when HF_HUB_DISABLE_PROGRESS_BARS says otherwise
        disable_progress_bars()


def _ask(name: str, revision: str, policy: HostPolicy) -> HubModel:
    repo, file = gguf.split(name)
    with translated(repo, revision, policy):
        info = huggingface_hub.HfApi(token=token(policy)).model_info(
            repo, revision=revision, files_metadata=True, timeout=CONNECT_SECONDS
        )
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        packed = _gguf(info, sizes, repo, file)
        config = {} if packed else _config(repo, revision, sizes, policy)
    card = info.card_data.to_dict() if info.card_data else {}
    return HubModel(
        repo=repo,
        revision=revision,
        commit=info.sha or revision,
        license=license_of(card),
        members_only=bool(info.gated or info.private),
        config=config,
        files={packed.name: sizes[packed.name]} if packed else _wanted(sizes),
        gguf=packed,
    )


def _config(repo: str, revision: str, sizes: Mapping[str, int], policy: HostPolicy) -> dict[str, Any]:
    """config.json, once it is clear that this is a model whose weights can be read.

    Its size, and that of the index of weights, are what the Hub states: what is too long is not fetched.
    """
    checkpoints.check_file_names(sizes, repo)
    for name in ("config.json", checkpoints.INDEX):
        if sizes.get(name, 0) > checkpoints.LONGEST_CONFIG:
            raise NotAModel(f"{name} of {repo} is too long to be one; choose another model.")
    file = huggingface_hub.hf_hub_download(
        repo,
        "config.json",
        revision=revision,
        cache_dir=our_cache(),
        token=token(policy),
        etag_timeout=CONNECT_SECONDS,
    )
    config = checkpoints.parse_json(Path(file).read_bytes(), f"config.json of {repo}")
    checkpoints.check_config(config, repo)
    return config


def _gguf(info: Any, sizes: dict[str, int], repo: str, named: str | None) -> GgufFile | None:
    """The wanted file where one was named, or where there is nothing else; None for safetensors."""
    if named is None and not checkpoints.has_only_gguf(sizes):
        return None
    packed = info.gguf if isinstance(getattr(info, "gguf", None), dict) else {}
    return GgufFile(
        name=gguf.choose(sizes, repo, named),
        parameters=packed.get("total"),
        architecture=packed.get("architecture"),
        context=packed.get("context_length"),
    )


def license_of(card: dict[str, Any]) -> str | None:
    """The licence of a model card, which people also write as a list."""
    stated = card.get("license_name") or card.get("license")
    if isinstance(stated, list):
        return ", ".join(map(str, stated)) or None
    return str(stated) if stated else None


def _wanted(sizes: dict[str, int]) -> dict[str, int]:
    """The files to download: one form of the weights, and their companions."""
    whole, parts = (checkpoints.SINGLE,), (checkpoints.INDEX, "*-of-*.safetensors")
    patterns = (*(whole if checkpoints.SINGLE in sizes else parts), *_COMPANIONS)
    return {
        name: n_bytes
        for name, n_bytes in sizes.items()
        if "/" not in name and any(fnmatch(name, pattern) for pattern in patterns)
    }


def download(found: HubModel, report: Report, policy: HostPolicy = STRICT) -> Path:
    """The folder of its wanted files in our cache, reported file by file; goes on where it stopped.

    Raises UnknownModel, GatedModel, NotAModel, NotReachable or DiskFull with one sentence.
    """
    with disk.writing(our_cache()), translated(found.repo, found.revision, policy):
        if found.members_only:
            mark = storage_of(found.repo) / FOR_MEMBERS
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        keep_licence(found.repo, found.license)
        wanted = Wanted(found.repo, found.revision, found.commit, found.files)
        return hub_files.fetch(wanted, report, token(policy))


def _no_answer(repo: str) -> str:
    return (
        f"The Hub ({endpoint()}) does not answer, so {repo} cannot be looked up; connect to the network, "
        "or choose a model that is already here, such as tiny-random-llama."
    )


@contextmanager
def translated(repo: str, revision: str, policy: HostPolicy) -> Iterator[None]:
    """Turn what huggingface_hub raises about `repo` into one of our sentences."""
    try:
        yield
    except PruneError:
        raise
    except Exception as error:
        if disk.is_full(error):
            raise
        raise _our_error(error, repo, revision, policy) from error


def _our_error(error: Exception, repo: str, revision: str, policy: HostPolicy) -> Exception:
    match error:
        case hf.GatedRepoError():
            return GatedModel(_gated(repo, policy))
        case hf.RevisionNotFoundError():
            return UnknownModel(f"{repo} has no revision '{revision}'; choose another, or leave it out.")
        case hf.RepositoryNotFoundError() | hf.DisabledRepoError() | hf.HFValidationError():
            return UnknownModel(f"The Hub has no public model {repo}.{suggestion(repo)}")
        case hf.NotASafetensorsRepoError() | hf.SafetensorsParsingError() | hf.RemoteEntryNotFoundError():
            return NotAModel(
                f"{repo} is not a whole safetensors model of the transformers library; choose another."
            )
        case hf.OfflineModeIsEnabled() | hf.LocalEntryNotFoundError() if _offline():
            return NotReachable(
                f"HF_HUB_OFFLINE is set and {repo} is not on this machine; "
                "unset it, or choose a model that is here."
            )
        case hf.HfHubHTTPError():
            status = error.response.status_code
            if status in (401, 403):
                return GatedModel(_gated(repo, policy))
            return NotReachable(f"The Hub ({endpoint()}) answered {status} for {repo}; try again later.")
        case hf.HTTPError() | hf.LocalEntryNotFoundError() | ConnectionError() | TimeoutError():
            return NotReachable(_no_answer(repo))
    return error


def _offline() -> bool:
    return constants.HF_HUB_OFFLINE


def _gated(repo: str, policy: HostPolicy) -> str:
    """What to do, which depends on whose page this is and on whether somebody has signed in."""
    terms = f"{repo} is only for accounts that accepted its terms"
    if handed():
        return f"{terms}, and yours has not: accept them at {endpoint()}/{repo} and try again."
    if not policy.public:
        return (
            f"{terms}: accept them at {endpoint()}/{repo}, then give a token of that account (in the page under "
            "Hub account, or as HF_TOKEN) and try again."
        )
    if policy.signs_in:
        return f"{terms}: accept them at {endpoint()}/{repo}, sign in with Hugging Face here, and try again."
    return f"{terms}, so this public page cannot load it."
