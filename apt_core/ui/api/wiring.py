"""The endpoints as Gradio offers them: typed functions under their names, errors in one sentence."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from apt_core.base.errors import PruneError
from apt_core.ui.api.arguments import Argument
from apt_core.ui.api.endpoints import ENDPOINTS, Endpoint
from apt_core.ui.studio import Studio

_log = logging.getLogger(__name__)
_FAULT = "This could not be done; the log of the app says why."


def wire(studio: Studio) -> None:
    """Offer every endpoint, inside the current Blocks; nothing where this host has the API off."""
    if not studio.policy.api:
        return
    for endpoint in ENDPOINTS:
        gr.api(function_of(endpoint, studio), api_name=endpoint.name)


def function_of(endpoint: Endpoint, studio: Studio) -> Callable[..., Any]:
    """The endpoint with the signature and the docstring that Gradio draws its types and its tools from."""
    arguments = endpoint.arguments

    def call(*given: Any, **named: Any) -> Any:
        values = signature.bind(*given, **named)
        values.apply_defaults()
        return answered(endpoint, studio, values.arguments)

    signature = _signature(arguments, endpoint.returns)
    call.__name__ = call.__qualname__ = endpoint.name
    call.__doc__ = _docstring(endpoint.says, arguments)
    call.__signature__ = signature  # type: ignore[attr-defined]  # what inspect.signature reads
    call.__annotations__ = {one.name: one.annotation for one in arguments} | {"return": endpoint.returns}
    return call


def answered(endpoint: Endpoint, studio: Studio, values: Mapping[str, Any]) -> Any:
    """What the endpoint answers; whatever goes wrong is one sentence."""
    try:
        return endpoint.ask(studio, values)
    except PruneError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except Exception as error:
        _log.exception("The endpoint /%s failed", endpoint.name)
        raise gr.Error(_FAULT, print_exception=False) from error


def _signature(arguments: tuple[Argument, ...], returns: Any) -> inspect.Signature:
    parameters = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if one.required else one.default,
            annotation=one.annotation,
        )
        for one in arguments
    ]
    return inspect.Signature(parameters, return_annotation=returns)


def _docstring(says: str, arguments: tuple[Argument, ...]) -> str:
    """In the form that Gradio reads the descriptions of parameters from."""
    lines = [f"    {one.name}: {one.help}" for one in arguments]
    return "\n".join([says, "", "Parameters:", *lines] if lines else [says])
