"""Which package index, folders, certificate and proxy the user's pip is set up with.

Read from pip's own files and variables (pip.pypa.io, "Configuration"), later ones winning: machine-wide,
user, environment, PIP_CONFIG_FILE, PIP_* variables. A mirror of a company is thus used as pip uses it. Not
`pip config list`, which says the same after half a second in a process of its own, where there is a pip.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from configparser import Error as ConfigError
from configparser import RawConfigParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from apt_core.base.values import Frozen

_PYPI = "https://pypi.org/simple"
_MACHINE_FILE = Path("/etc/pip.conf")
_SECTIONS = ("global", "download")  # the section of the command is stronger


class PipSettings(Frozen):
    indexes: tuple[str, ...]  # empty when pip is configured to use none
    folders: tuple[Path, ...]  # local find-links
    certificate: str | None
    proxy: str | None


def read() -> PipSettings:
    """What `pip download` would use."""
    options = _options()
    no_index = options.get("no-index", "").lower() in {"1", "true", "yes", "on"}
    indexes = [options.get("index-url") or _PYPI, *options.get("extra-index-url", "").split()]
    return PipSettings(
        indexes=() if no_index else tuple(index.rstrip("/") for index in indexes),
        folders=tuple(_local_folders(options.get("find-links", ""))),
        certificate=options.get("cert") or None,
        proxy=options.get("proxy") or None,
    )


def _options() -> dict[str, str]:
    options: dict[str, str] = {}
    for file in _files():
        parser = RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (ConfigError, UnicodeDecodeError, OSError):
            continue  # pip itself will complain about a broken file; it is no reason to stop here
        for section in _SECTIONS:
            if parser.has_section(section):
                options |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            options[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return options


def _files() -> Iterator[Path]:
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    home = Path.home()
    if sys.platform == "win32":
        yield Path(os.environ.get("PROGRAMDATA", "C:/ProgramData")) / "pip" / "pip.ini"
        yield home / "pip" / "pip.ini"
        yield Path(os.environ.get("APPDATA", home)) / "pip" / "pip.ini"
        yield Path(sys.prefix) / "pip.ini"
    else:
        if sys.platform == "darwin":
            yield Path("/Library/Application Support/pip/pip.conf")
        else:
            for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep):
                yield Path(folder) / "pip" / "pip.conf"
            yield _MACHINE_FILE
        yield home / ".pip" / "pip.conf"
        if sys.platform == "darwin":
            yield home / "Library" / "Application Support" / "pip" / "pip.conf"
        yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
        yield Path(sys.prefix) / "pip.conf"
    if chosen:
        yield Path(chosen)


def _local_folders(find_links: str) -> Iterator[Path]:
    """The local folders among the links; pages of links on the web are left to the index."""
    for link in find_links.split():
        parts = urlsplit(link)
        if parts.scheme == "file":
            yield Path(unquote(parts.path))
        elif "://" not in link:
            yield Path(link).expanduser()
