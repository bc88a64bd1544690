"""The one edge to the Hugging Face Hub: asked briefly, downloaded by bytes, errors translated here.

HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN mean what they mean everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from apt_core.errors import GatedModel, NotAModel, NotReachable, PruneError, UnknownModel
from apt_core.models import checkpoints, disk
from apt_core.models.catalogue import suggestion
from apt_core.models.hub_cache import DEFAULT_REVISION, our_cache
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
_SECONDS_BETWEEN_REPORTS = 0.25


class HubModel(NamedTuple):
    """What the Hub says about a repository before anything is downloaded."""

    repo: str
    revision: str
    license: str | None
    config: dict[str, Any]
    files: dict[str, int]  # wanted files and their bytes

    @property
    def download_bytes(self) -> int:
        return sum(self.files.values())


def token() -> bool | None:
    """None: the user's own token, if any. False on a public host: visitors never use the owner's."""
    return False if is_public_host() else None


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
    return HubModel(repo, revision, _license(card), config, _wanted(sizes))


def _license(card: dict[str, Any]) -> str | None:
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
    """The repository's safetensors folder in our cache, reported by bytes; goes on where it stopped.

    Raises UnknownModel, GatedModel, NotAModel, NotReachable or DiskFull with one sentence.
    """
    found = ask(repo, revision)
    blobs = our_cache() / f"models--{repo.replace('/', '--')}" / "blobs"
    have = _bytes_in(blobs)
    with disk.writing(our_cache()):
        disk.require_space(our_cache(), max(0, found.download_bytes - have), repo)
        with translated(repo, found.revision):
            folder = _watched(
                lambda stop: _fetch(found, stop),
                lambda: report(
                    "download", min(_bytes_in(blobs), found.download_bytes), found.download_bytes, repo
                ),
            )
    checkpoints.check(folder)
    return folder


def _fetch(found: HubModel, stop: Event) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        found.repo,
        revision=found.revision,
        cache_dir=our_cache(),
        allow_patterns=list(found.files),
        token=token(),
        etag_timeout=CONNECT_SECONDS,
        max_workers=4,
        tqdm_class=_stoppable_bar(stop),
    )
    return Path(folder)


def _watched(job: Callable[[Event], Path], look: Callable[[], None]) -> Path:
    """Run `job` in a thread and `look` four times a second; when `look` raises, the job is stopped."""
    stop = Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        running: Future[Path] = pool.submit(job, stop)
        try:
            while not wait([running], timeout=_SECONDS_BETWEEN_REPORTS).done:
                look()
            look()
        except BaseException:
            stop.set()
            raise
        return running.result()


def _stoppable_bar(stop: Event) -> type:
    """A progress bar that draws nothing and ends the download when it is told to."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs | {"disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if stop.is_set():
                raise InterruptedError("The download was stopped.")
            return super().update(n)

    return Bar


def _bytes_in(folder: Path) -> int:
    """Bytes downloaded so far, unfinished files included."""
    try:
        return sum(entry.stat().st_size for entry in folder.iterdir() if entry.is_file())
    except FileNotFoundError:
        return 0  # nothing has arrived yet, or a file was being renamed: the next look counts it


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
    if is_public_host():
        return f"{repo} is only for accounts that accepted its terms, so this public page cannot load it."
    return (
        f"{repo} is only for accounts that accepted its terms: accept them at {endpoint()}/{repo}, "
        "set HF_TOKEN to a token of that account and try again."
    )
