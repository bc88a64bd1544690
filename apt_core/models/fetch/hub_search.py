"""Models of the Hub by a few letters of their name: what can be pruned, the most downloaded first."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import huggingface_hub
from huggingface_hub import errors as hf

from apt_core.base.errors import NotReachable
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.fetch import hub
from apt_core.models.fetch.network import within

MOST = 12
MAX_QUERY = 100
_ASKED = 3 * MOST  # more than are shown, because quantised ones are left out
_Shown = Literal["downloads", "gated", "safetensors", "cardData", "tags"]
_SHOWN: tuple[_Shown, ...] = get_args(_Shown)
# Tags of checkpoints whose weights are packed; `checkpoints.check_config` refuses them by their configuration.
_PACKED = frozenset(
    {
        "gptq",
        "awq",
        "bitsandbytes",
        "compressed-tensors",
        "auto-round",
        "4-bit",
        "8-bit",
        "fp8",
        "exl2",
        "hqq",
    }
    | {"aqlm", "eetq", "quark", "mlx"}
)


class Found(NamedTuple):
    """One line of the answer; None where the Hub does not say."""

    id: str
    parameters: int | None
    license: str | None
    downloads: int | None
    gated: bool


def search(query: str, policy: HostPolicy = STRICT) -> list[Found]:
    """Safetensors models that write text, by name; at most `MOST`.

    Raises NotReachable with one sentence within 5 seconds when the Hub does not answer.
    """
    wanted = " ".join(query.split())[:MAX_QUERY]
    return within(lambda: _search(wanted, policy), _no_answer()) if wanted else []


def _search(wanted: str, policy: HostPolicy) -> list[Found]:
    try:
        models = huggingface_hub.HfApi(token=hub.token(policy)).list_models(
            search=wanted,
            pipeline_tag="text-generation",
            filter="safetensors",
            sort="downloads",
            limit=_ASKED,
            expand=[*_SHOWN],
        )
        usable = [model for model in models if not _PACKED & set(model.tags or ())]
    except Exception as error:
        raise _our_error(error) from error
    return [_found(model) for model in usable[:MOST]]


def _found(model: Any) -> Found:
    numbers = model.safetensors
    card = model.card_data.to_dict() if model.card_data else {}
    return Found(
        id=model.id,
        parameters=numbers.total if numbers else None,
        license=hub.license_of(card) or _tagged_license(model.tags or ()),
        downloads=model.downloads,
        gated=bool(model.gated),
    )


def _tagged_license(tags: Any) -> str | None:
    return next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)


def _our_error(error: Exception) -> Exception:
    """A search names no model, so all that can be said is that the Hub gives no answer, and with which status."""
    if isinstance(error, hf.HfHubHTTPError):
        return NotReachable(
            f"The Hub ({hub.endpoint()}) answered {error.response.status_code} to the search; try again later."
        )
    if isinstance(error, hf.HTTPError | hf.OfflineModeIsEnabled | ConnectionError | TimeoutError):
        return NotReachable(_no_answer())
    return error


def _no_answer() -> str:
    return (
        f"The Hub ({hub.endpoint()}) does not answer, so it cannot be searched; "
        "connect to the network, or choose a model of the list above."
    )
