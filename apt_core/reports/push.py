"""Push a pruned model to the user's own namespace of the Hub: one commit; an existing repository only on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import huggingface_hub
from huggingface_hub import errors as hf

from apt_core.base.errors import BadInput, CannotWrite, NotReachable
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.checkpoint.plain_files import as_plain
from apt_core.models.fetch import hub, hub_account, hub_token
from apt_core.models.fetch.hub_cache import is_hub_id
from apt_core.reports.export import Exported, files_of
from apt_core.reports.model_card import CARD

_EXISTS, _REFUSED = 409, (401, 403)
_FORCE = "try again with --force"  # the repository is there by now
_WEIGHTS = ".safetensors"


class Uploading(NamedTuple):
    """How far an upload is: the file whose turn it is, and the bytes of all files before it."""

    file: str
    done: int
    total: int


Watch = Callable[[Uploading], None]


def account(policy: HostPolicy = STRICT) -> str:
    """The account into whose namespace models go. Raises BadInput where nobody is signed in, NotReachable without the
    Hub."""
    if not hub_token.handed() and (policy.public or not hub_account.machine_is_logged_in()):
        raise BadInput(_nobody(policy))
    return hub_account.name(policy)


def _nobody(policy: HostPolicy) -> str:
    if policy.signs_in:
        return "Sign in with Hugging Face first; a model is pushed into your own namespace."
    if policy.public:
        return "Nobody can sign in to the Hub on this page, so nothing is pushed from here."
    return (
        "Nobody is logged in to the Hub; give a write token in the page under Hub account, run 'hf auth login', or "
        "set HF_TOKEN."
    )


def check_may_push(repo: str, policy: HostPolicy = STRICT) -> None:
    """Raise BadInput unless `repo` is in the namespace of the token in use; NotReachable without the Hub."""
    if not is_hub_id(repo):
        raise BadInput(
            f"'{repo[:80]}' is no name of a repository; it is OWNER/NAME, in letters the Hub allows."
        )
    owner, name = repo.split("/")[0], account(policy)
    if owner != name:
        raise BadInput(f"{repo} is not yours: you are {name} on the Hub; push to {name}/NAME.")


def push(
    model: Exported, repo: str, policy: HostPolicy = STRICT, replace: bool = False, private: bool = False
) -> str:
    """Make the repository and upload weights, configuration, tokenizer and card; returns its address.

    Raises BadInput where it exists already, unless `replace`; then files of the same names are replaced by a new
    commit, and what was there before stays in its history.
    """
    check_may_push(repo, policy)
    make_repository(repo, policy, replace, private)
    return upload(model, repo, policy)


def make_repository(
    repo: str,
    policy: HostPolicy = STRICT,
    replace: bool = False,
    private: bool = False,
    again: str = _FORCE,
) -> None:
    """An empty one. Raises CannotWrite where it exists already, unless `replace`."""
    with _translated(repo, policy, again):
        huggingface_hub.HfApi(token=hub_token.token(policy)).create_repo(
            repo, private=private, exist_ok=replace
        )


def upload(
    model: Exported,
    repo: str,
    policy: HostPolicy = STRICT,
    watch: Watch = lambda uploading: None,
    again: str = _FORCE,
) -> str:
    """Weights, configuration, tokenizer and card into a repository that is there; returns its address.

    again: what to do where the Hub breaks off, as it is said here.
    """
    api = huggingface_hub.HfApi(token=hub_token.token(policy))
    with (
        TemporaryDirectory(prefix="apt-push-") as beside,
        as_plain(model.checkpoint, Path(beside, "plain")) as source,
        _translated(repo, policy, again),
    ):
        parts = [huggingface_hub.CommitOperationAdd(file.name, str(file)) for file in files_of(source)]
        parts.append(huggingface_hub.CommitOperationAdd(CARD, model.card(repo).encode()))
        _send_weights(api, repo, parts, watch)
        api.create_commit(repo, parts, commit_message=f"{model.title}, {model.record.job.label}")
    return f"{hub.endpoint()}/{repo}"


def _send_weights(
    api: huggingface_hub.HfApi,
    repo: str,
    parts: list[huggingface_hub.CommitOperationAdd],
    watch: Watch,
) -> None:
    """Each file of weights before the commit that names it, so that one sees how far it is."""
    done, total = 0, sum(part.upload_info.size for part in parts)
    for part in parts:
        if part.path_in_repo.endswith(_WEIGHTS):
            watch(Uploading(part.path_in_repo, done, total))
            api.preupload_lfs_files(repo, [part], free_memory=False)
            done += part.upload_info.size
    watch(Uploading(CARD, done, total))


@contextmanager
def _translated(repo: str, policy: HostPolicy, again: str) -> Iterator[None]:
    """One sentence for each way in which the Hub says no."""
    try:
        yield
    except hf.HfHubHTTPError as error:
        status = error.response.status_code
        if status == _EXISTS:
            raise CannotWrite(
                f"{repo} exists already on the Hub; choose another name, or add a commit to it with --force."
            ) from error
        if status in _REFUSED:
            raise BadInput(_refused(repo, policy)) from error
        raise NotReachable(f"The Hub could not take {repo} (HTTP {status}); {again}.") from error
    except (hf.HTTPError, hf.OfflineModeIsEnabled, ConnectionError, TimeoutError, RuntimeError) as error:
        raise NotReachable(
            f"The Hub ({hub.endpoint()}) broke off while {repo} was uploaded; {again}."
        ) from error


def _refused(repo: str, policy: HostPolicy) -> str:
    if policy.signs_in:
        return (
            f"The Hub does not let your sign-in write to {repo}; sign out and in again and allow it, or choose the "
            "name of a repository that is new or was made from here."
        )
    return (
        f"The Hub does not let this token write to {repo}; make one with write access at "
        f"{hub.endpoint()}/settings/tokens."
    )
