"""What the page of the host's owner shows, as HTML without a script. No gradio."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from apt_core.base.policy import LOCAL
from apt_core.base.words import DASH, STATUS_WORDS, duration, size
from apt_core.events.records import RunRecord
from apt_core.ui.views.html import Markup, join


class Use(NamedTuple):
    """What one visitor has taken. tokens and started: within the current hour."""

    owner: str
    runs: int
    waiting: int
    n_bytes: int
    started: int
    tokens: int
    banned: bool
    address: str = ""


class Seen(NamedTuple):
    """All that the page shows. line: what works and waits, in its order. ended: the newest runs that have ended.
    addresses: from which nobody is served."""

    draining: bool
    line: Sequence[RunRecord]
    ended: Sequence[RunRecord]
    visitors: Sequence[Use]
    title: Callable[[RunRecord], str]
    addresses: Sequence[str] = ()


def admin_page(seen: Seen, said: str = "") -> Markup:
    """said: one sentence about what was just done."""
    note = Markup('<p class="card" role="status">{}</p>').format(said) if said else Markup("")
    return _document(note + _drain(seen.draining) + _line(seen) + _visitors(seen) + _ended(seen))


def login_page(said: str = "") -> Markup:
    note = Markup('<p class="card" role="alert">{}</p>').format(said) if said else Markup("")
    return _document(
        note
        + Markup(
            '<form method="post" action="login"><label>Token of this host (APT_ADMIN_TOKEN) '
            '<input type="password" name="token" autocomplete="current-password" required></label> '
            "<button>Open</button></form>"
        )
    )


def _document(body: Markup) -> Markup:
    return Markup(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>APT Studio, this host</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        '<meta name="color-scheme" content="light dark"><style>{}</style></head>'
        "<body><main><h1>This host</h1>{}</main></body></html>"
    ).format(Markup(_STYLE), body)


def _drain(draining: bool) -> Markup:
    if draining:
        said = (
            "No run is accepted or begun; what works may end. Then the app can be stopped without loss, and its next "
            "start accepts runs again and begins what waits."
        )
        return Markup("<p>{}</p>").format(said) + _button("accept", "Accept runs again")
    return Markup("<p>Runs are accepted.</p>") + _button("drain", "Drain: accept and begin no run")


def _line(seen: Seen) -> Markup:
    now = time.time()
    rows = [
        (
            str(place) if run.status == "queued" else STATUS_WORDS[run.status],
            _link(run),
            f"{seen.title(run)} · {run.job.label}",
            _name(run.owner),
            duration(max(0.0, now - run.created_at)) if run.created_at else DASH,
            _button("stop", "Stop", run=run.id),
        )
        for place, run in enumerate(seen.line, 1 - sum(run.status != "queued" for run in seen.line))
    ]
    heads = ("Place", "Run", "What", "Visitor", "Since", "What to do")
    return Markup("<h2>Queue</h2>") + _table(heads, rows, "Nothing works or waits.")


def _visitors(seen: Seen) -> Markup:
    rows = [
        (
            _name(one.owner),
            str(one.runs),
            str(one.waiting),
            size(one.n_bytes),
            str(one.started),
            f"{one.tokens:,}",
            _about(one, seen.addresses),
        )
        for one in seen.visitors
    ]
    heads = ("Visitor", "Runs", "Wait", "Disk", "Started this hour", "Tokens this hour", "What to do")
    table = _table(heads, rows, "Nobody has asked for anything yet.")
    return Markup("<h2>Visitors</h2>") + table + _addresses(seen.addresses)


def _addresses(banned: Sequence[str]) -> Markup:
    """Nothing while none is banned."""
    if not banned:
        return Markup("")
    rows = [
        (Markup("<code>{}</code>").format(one), _button("unban-address", "Serve again", address=one))
        for one in banned
    ]
    return Markup("<h2>Closed addresses</h2>") + _table(("Address", "What to do"), rows, "")


def _about(one: Use, addresses: Sequence[str]) -> Markup:
    if one.owner == LOCAL:
        return Markup("")
    ban = (
        _button("unban", "Serve again", visitor=one.owner)
        if one.banned
        else _button("ban", "Ban", visitor=one.owner)
    )
    where = (
        _button("ban-address", "Ban their address", visitor=one.owner)
        if one.address and one.address not in addresses
        else Markup("")
    )
    return (
        ban
        + where
        + (_button("delete-all", "Delete their ended runs", visitor=one.owner) if one.runs else Markup(""))
    )


def _ended(seen: Seen) -> Markup:
    rows = [
        (
            STATUS_WORDS[run.status],
            _link(run),
            f"{seen.title(run)} · {run.job.label}",
            _name(run.owner),
            _button("delete", "Delete", run=run.id),
        )
        for run in seen.ended
    ]
    heads = ("Status", "Run", "What", "Visitor", "What to do")
    return Markup("<h2>Newest ended runs</h2>") + _table(heads, rows, "No run has ended yet.")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> Markup:
    if not rows:
        return Markup("<p>{}</p>").format(nothing)
    head = join(Markup('<th scope="col">{}</th>').format(one) for one in heads)
    body = join(
        Markup("<tr>{}</tr>").format(join(Markup("<td>{}</td>").format(cell) for cell in row)) for row in rows
    )
    return Markup(
        '<div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(head, body)


def _name(owner: str) -> Markup:
    """An account as it is; of a cookie's number as much as tells it from others."""
    short = owner if owner == LOCAL or owner.startswith("hf:") else owner[:10]
    return Markup("<code>{}</code>").format(short)


def _link(run: RunRecord) -> Markup:
    return Markup('<a href="../?run={}">{}</a>').format(run.id, run.id)


def _button(action: str, label: str, **values: str) -> Markup:
    hidden = join(
        Markup('<input type="hidden" name="{}" value="{}">').format(name, value)
        for name, value in {"action": action, **values}.items()
    )
    return Markup('<form method="post" action="do">{}<button>{}</button></form>').format(hidden, label)


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 70rem; margin: auto; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #8884; }
.scroll { overflow-x: auto; }
form { display: inline; }
button { font: inherit; min-height: 2.2rem; margin: .1rem; }
.card { border: 1px solid #8888; border-radius: .4rem; padding: .6rem; }
"""
