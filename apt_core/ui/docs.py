"""The documentation as the page serves it: the Markdown of docs/, a page each, under studio/docs/. No network."""

from __future__ import annotations

import os
import re
from functools import lru_cache

import markdown
from markdown.extensions.toc import slugify
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from apt_core.base.markup import Markup
from apt_core.base.paths import ASSETS, DOCS

ADDRESS = "APT_DOCS"
_HERE = "studio/docs"
_TERMS = "reference/terms.md"
_PICTURES = frozenset({".svg", ".png"})
_EXTENSIONS = ("tables", "fenced_code", "toc")  # as mkdocs has them; headings get the same anchors
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_PAGE = Markup(
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta name="color-scheme" content="light dark"><title>{title} · APT Studio</title>'
    '<link rel="stylesheet" href="{root}docs.css"><nav><a href="{root}index.md">Documentation</a></nav>'
    "<main>{text}</main></html>"
)
_NOT_INSTALLED = (
    "The documentation is not part of this installation. It is the folder docs/ of the repository; "
    "set APT_DOCS to an address where it can be read."
)


def docs_url(term: str) -> str:
    """The address of the paragraph about a term, such as 'N:M', relative to the page; below APT_DOCS where that is set
    to another place of the same files."""
    return page_url(f"{_TERMS}#{anchor(term)}")


def page_url(name: str = "index.md") -> str:
    """The address of a page of the documentation, relative to the page; below APT_DOCS where that is set."""
    return f"{os.environ.get(ADDRESS, _HERE).rstrip('/')}/{name}"


def anchor(heading: str) -> str:
    """What a link to a heading ends in: 'nm' for 'N:M', as mkdocs and GitHub write it."""
    return str(slugify(heading, "-"))


def answer(request: Request) -> Response:
    """One page or picture; what does not exist is a 404 with a sentence."""
    name = request.path_params["path"]
    if name == "docs.css":
        return PlainTextResponse(_stylesheet(), media_type="text/css")
    if not DOCS.is_dir():
        return PlainTextResponse(_NOT_INSTALLED, 404)
    file = (DOCS / name).resolve()
    if not file.is_relative_to(DOCS) or not file.is_file() or file.suffix not in {".md", *_PICTURES}:
        return PlainTextResponse("There is no such page in the documentation; it begins at index.md.", 404)
    if file.suffix in _PICTURES:
        return FileResponse(file)
    return HTMLResponse(_drawn(file.read_text("utf-8"), "../" * name.count("/")))


@lru_cache(maxsize=64)
def _drawn(text: str, root: str) -> str:
    """A page of Markdown as HTML. Its text is our own, so it is not escaped."""
    title = found[1] if (found := _TITLE.search(text)) else "Documentation"
    html = Markup(markdown.markdown(text, extensions=list(_EXTENSIONS)))
    return str(_PAGE.format(title=title, root=root, text=html))


@lru_cache(maxsize=1)
def _stylesheet() -> str:
    return "\n".join((ASSETS / "ui" / f"{name}.css").read_text("utf-8") for name in ("tokens", "docs"))
