"""One command of the command line: its name, its help, and the function that does it, imported when it is called."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any


class Command:
    """A command's function, imported when it is called: 'prune:run' -> apt_core.cli.prune.run."""

    def __init__(self, where: str):
        self._module, self._function = where.split(":")

    def __call__(self, options: argparse.Namespace) -> int:
        return getattr(import_module(f"apt_core.cli.{self._module}"), self._function)(options)


def actions_of(parser: argparse.ArgumentParser, title: str, metavar: str) -> Any:
    """The commands below a parser, which knows them, so that a wrong one is told what is like it."""
    commands = parser.add_subparsers(title=title, metavar=metavar)
    parser.commands = commands  # type: ignore[attr-defined]
    return commands


def add(commands: Any, name: str, where: str, help: str, below: bool = False) -> argparse.ArgumentParser:
    """One command; `below` another one, it leaves a `--json` that was given to that one alone."""
    parser = commands.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.")
    parser.set_defaults(command=Command(where))
    default = argparse.SUPPRESS if below else False
    parser.add_argument(
        "--json", action="store_true", default=default, help="print one JSON value and nothing else"
    )
    return parser


def add_terms(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--accept-terms",
        action="store_true",
        help="you have read and accept the conditions of use of a model that has some (Gemma)",
    )


def add_resume(parser: argparse._ActionsContainer, help: str) -> None:
    parser.add_argument("--resume", metavar="ID", help=help)
    parser.add_argument(
        "--finish",
        action="store_true",
        help="with --resume: go no further, make a model of what was reached and measure it",
    )
