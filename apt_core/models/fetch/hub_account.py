"""Whose token it is."""

from __future__ import annotations

import huggingface_hub
from huggingface_hub import errors as hf

from apt_core.base.errors import BadInput, NotReachable
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.fetch import hub
from apt_core.models.fetch.network import within


def name(policy: HostPolicy = STRICT) -> str:
    """The account of the token in use. Raises BadInput when the Hub does not know it, NotReachable within 5 s."""
    no_answer = (
        f"The Hub ({hub.endpoint()}) does not answer, so the token cannot be checked; try again later."
    )
    return within(lambda: _name(no_answer, policy), no_answer)


def machine_is_logged_in() -> bool:
    """By HF_TOKEN or by huggingface_hub's own login."""
    return bool(huggingface_hub.get_token())


def _name(no_answer: str, policy: HostPolicy) -> str:
    try:
        return str(huggingface_hub.HfApi().whoami(token=hub.token(policy))["name"])
    except hf.HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise BadInput(
                f"The Hub does not know this token; make a new one at {hub.endpoint()}/settings/tokens."
            ) from error
        raise NotReachable(no_answer) from error
    except (hf.HTTPError, hf.OfflineModeIsEnabled, ConnectionError, TimeoutError, ValueError) as error:
        raise NotReachable(no_answer) from error
