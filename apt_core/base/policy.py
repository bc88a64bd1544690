"""Whose page this is: a person's own machine, or a host that other people use.

One value, read from the environment at the front door of each process (the page, the command line, the Python API,
the worker, the reader) and handed in: nobody below asks the environment again.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping

from apt_core.base.limits import (
    PROMPTS_AT_ONCE,
    PUBLIC_PROMPTS_AT_ONCE,
    PUBLIC_SEARCH_MINUTES,
    PUBLIC_SWEEP_RUNS,
    PUBLIC_TASK_EXAMPLES,
    SWEEP_RUNS,
)
from apt_core.base.values import Frozen


class HostPolicy(Frozen):
    """What visitors of this process may do.

    public: other people use the page, so no local folders, no user paths, no deleting, and no token but a visitor's
    own. signs_in: visitors sign in with Hugging Face's button (on Spaces). api: programs may call the named endpoints
    of the page. mcp: these are tools of the Model Context Protocol too. framed: the page is shown inside a page of
    another site (on Spaces).
    """

    public: bool = False
    signs_in: bool = False
    api: bool = False
    mcp: bool = False
    framed: bool = False

    @property
    def sweep_runs(self) -> int:
        """The most runs that one sweep may queue: on a public host the queue is everybody's."""
        return PUBLIC_SWEEP_RUNS if self.public else SWEEP_RUNS

    @property
    def prompts_at_once(self) -> int:
        """The most prompts of one set: on a public host the reader is everybody's."""
        return PUBLIC_PROMPTS_AT_ONCE if self.public else PROMPTS_AT_ONCE

    @property
    def task_examples(self) -> int | None:
        """The most examples of a zero-shot task; None for all there are."""
        return PUBLIC_TASK_EXAMPLES if self.public else None

    @property
    def search_minutes(self) -> float | None:
        """The most minutes of one search; None for as many as its job may ask for."""
        return PUBLIC_SEARCH_MINUTES if self.public else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> HostPolicy:
        """Public on Hugging Face Spaces, when APT_PUBLIC=1, and when GRADIO_SERVER_NAME lets other machines in
        (unless APT_PUBLIC=0). The API is on unless APT_API=0, on a public host only with APT_API=1; APT_MCP=1 puts
        it on as tools too."""
        stated = environment.get("APT_PUBLIC")
        on_space = environment.get("SYSTEM") == "spaces"
        open_address = not is_loopback(environment.get("GRADIO_SERVER_NAME") or "localhost")
        public = stated == "1" or on_space or (stated != "0" and open_address)
        tools = environment.get("APT_MCP") == "1"
        return cls(
            public=public,
            api=tools or environment.get("APT_API", "0" if public else "1") == "1",
            mcp=tools,
            framed=on_space,
            signs_in=bool(environment.get("SPACE_ID") and environment.get("OAUTH_CLIENT_ID")),
        )


LOCAL = "local"  # whose everything is that no visitor asked for: the person at this machine
PRIVATE = HostPolicy()  # a person's own machine
STRICT = HostPolicy(public=True)  # what a function goes by when nobody hands it a policy


def is_loopback(address: str) -> bool:
    """Whether a server bound to this address hears this machine only; a name is taken to be known outside."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False
