"""Whose account asks the Hub: on Spaces each visitor's own, at home a token that stays in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.base.policy import HostPolicy
from apt_core.models.fetch import hub_account, hub_token
from apt_core.ui.tabs.result import html
from apt_core.ui.views.search_results import search_says

# What a sign-in may be allowed, as the Hub names it, so that it can make a repository and write to it.
_WRITING = frozenset({"contribute-repos", "write-repos", "manage-repos"})
_signed_in_as = ""  # the account of the token that was typed


class Account(NamedTuple):
    """The fields at home; none of them on a public host."""

    token: gr.Textbox
    use: gr.Button
    forget: gr.Button
    note: gr.HTML


def lay_out(policy: HostPolicy) -> Account | None:
    """Draw what this host offers: Hugging Face's own button, a password field, or nothing.

    Off Spaces, Gradio's button would sign every visitor in as the owner of the machine.
    """
    if policy.signs_in:
        gr.LoginButton(size="sm", elem_id="login")
        return None
    if policy.public:
        return None
    with gr.Accordion("Hub account", open=False, elem_id="account", elem_classes="fold"):
        note = html("account-note")
        token = gr.Textbox(
            label="Access token",
            info="For gated and private models. It stays in the memory of this app until it ends",
            type="password",
            max_lines=1,
            elem_id="hub-token",
        )
        with gr.Row():
            use = gr.Button("Use this token", size="sm", min_width=80, elem_id="use-token")
            forget = gr.Button("Forget it", size="sm", min_width=80, elem_id="forget-token")
    return Account(token, use, forget, note)


def wire(account: Account, page: gr.Blocks) -> list[Any]:
    """Returns the events after which other models may be readable."""
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": None,
    }
    page.load(note_now, None, account.note, **quiet)
    used = gr.on(
        [account.use.click, account.token.submit],
        take,
        account.token,
        [account.token, account.note],
        **quiet,
    )
    forgotten = account.forget.click(lambda: take(""), None, [account.token, account.note], **quiet)
    return [used, forgotten]


def take(given: Any) -> tuple[str, str]:
    """Keep a token that the Hub knows, in memory; the field is empty afterwards, whatever happened."""
    global _signed_in_as
    before = hub_token.handed()
    hub_token.keep(str(given or ""))
    try:
        _signed_in_as = hub_account.name() if hub_token.handed() else ""
    except PruneError as error:
        hub_token.keep(before)
        return "", str(search_says(str(error)))
    return "", note_now()


def note_now() -> str:
    """Who is signed in, as a sentence; asks nobody."""
    if hub_token.handed():
        return str(search_says(f"Signed in as {_signed_in_as}."))
    if hub_account.machine_is_logged_in():
        return str(search_says("This machine is logged in to the Hub already; its own token is used."))
    return str(search_says("Nobody is signed in; open models need no account."))


def token_of(signed_in: gr.OAuthToken | None) -> str | None:
    """Of a visitor who signed in with Hugging Face's button."""
    return signed_in.token if signed_in else None


def check_may_write(signed_in: gr.OAuthToken | None) -> None:
    """Raise BadInput where somebody signed in with Hugging Face's button and did not let this page write."""
    if signed_in is not None and _WRITING.isdisjoint(signed_in.scope.replace(",", " ").split()):
        raise BadInput(
            "Your sign-in does not let this page make repositories: sign out and in again and allow it; where it is "
            "not asked for, the Space's README needs contribute-repos among its hf_oauth_scopes."
        )
