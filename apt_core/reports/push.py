"""A pruned model into the user's own namespace of the Hub: one commit, and never over a repository unasked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import huggingface_hub
from huggingface_hub import errors as hf

from apt_core.base.errors import BadInput, NotReachable
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.fetch import hub, hub_account, hub_token
from apt_core.models.fetch.hub_cache import is_hub_id
from apt_core.reports.export import Exported, files_of, plain
from apt_core.reports.model_card import CARD

_EXISTS, _REFUSED = 409, (401, 403)


def check_may_push(repo: str, policy: HostPolicy = STRICT) -> None:
    """Raise BadInput unless `repo` is in the namespace of the token in use; NotReachable without the Hub."""
    if not is_hub_id(repo):
        raise BadInput(
            f"'{repo[:80]}' is no name of a repository; it is OWNER/NAME, in letters the Hub allows."
        )
    if not hub_token.handed() and (policy.public or not hub_account.machine_is_logged_in()):
        raise BadInput(
            "Nobody is logged in to the Hub; run 'hf auth login' or set HF_TOKEN, with a write token."
        )
    owner, name = repo.split("/")[0], hub_account.name(policy)
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
    api = huggingface_hub.HfApi(token=hub_token.token(policy))
    with _translated(repo):
        api.create_repo(repo, private=private, exist_ok=replace)
    with (
        TemporaryDirectory(prefix="apt-push-") as beside,
        plain(model.checkpoint, Path(beside, "plain")) as source,
    ):
        parts = [huggingface_hub.CommitOperationAdd(file.name, str(file)) for file in files_of(source)]
        parts.append(huggingface_hub.CommitOperationAdd(CARD, model.card.encode()))
        with _translated(repo):
            api.create_commit(repo, parts, commit_message=f"{model.title}, {model.record.job.label}")
    return f"{hub.endpoint()}/{repo}"


@contextmanager
def _translated(repo: str) -> Iterator[None]:
    """One sentence for each way in which the Hub says no."""
    try:
        yield
    except hf.HfHubHTTPError as error:
        status = error.response.status_code
        if status == _EXISTS:
            raise BadInput(
                f"{repo} exists already on the Hub; choose another name, or add a commit to it with --force."
            ) from error
        if status in _REFUSED:
            raise BadInput(
                f"The Hub does not let this token write to {repo}; make one with write access at "
                f"{hub.endpoint()}/settings/tokens."
            ) from error
        raise NotReachable(
            f"The Hub could not take {repo} (HTTP {status}); try again with --force."
        ) from error
    except (hf.HTTPError, hf.OfflineModeIsEnabled, ConnectionError, TimeoutError) as error:
        raise NotReachable(
            f"The Hub ({hub.endpoint()}) broke off while {repo} was uploaded; try again with --force."
        ) from error
