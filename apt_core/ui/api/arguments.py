"""The arguments of an endpoint: the flags of a command, read from its parser with their types, choices and help.

A call becomes the options that the command line would have made of it, by the same parser: every check of a flag is a
check of the argument, and a new field of a job becomes an argument of the endpoint without a change here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.cli.parser import build_parser

_NEVER = frozenset({"help", "json"})


class Argument(NamedTuple):
    """A keyword of an endpoint. kind: its Python type, without None."""

    name: str
    kind: Any
    help: str
    required: bool = False
    default: Any = None

    @property
    def annotation(self) -> Any:
        return self.kind | None if not self.required and self.default is None else self.kind


def command_parser(command: tuple[str, ...]) -> argparse.ArgumentParser:
    """The parser of one command: ('runs', 'list')."""
    parser: argparse.ArgumentParser = build_parser()
    for word in command:
        below = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
        parser = below.choices[word]
    return parser


@lru_cache(maxsize=32)
def arguments_of(command: tuple[str, ...], without: frozenset[str] = frozenset()) -> tuple[Argument, ...]:
    """In the order of the parser."""
    actions = [one for one in _plain(command_parser(command)) if one.dest not in _NEVER | without]
    return tuple(_argument(action) for action in actions)


def _plain(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a command, without those of the commands below it."""
    return [one for one in parser._actions if not isinstance(one, argparse._SubParsersAction)]


def options_of(command: tuple[str, ...], values: Mapping[str, Any], policy: HostPolicy) -> argparse.Namespace:
    """What the command line makes of these values; None is what was not said. Raises BadInput with one sentence."""
    parser = command_parser(command)
    flags_first = sorted(_plain(parser), key=lambda action: not action.option_strings)
    words = [word for action in flags_first for word in _words(action, values.get(action.dest))]
    options = parser.parse_args(words)
    options.policy = policy
    return options


def _argument(action: argparse.Action) -> Argument:
    required = action.required or not action.option_strings
    default = None if required or isinstance(action.default, list) else action.default
    return Argument(action.dest, _kind(action), _help(action), required, default)


def _kind(action: argparse.Action) -> Any:
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        return bool
    if action.nargs == "*" or isinstance(action, argparse._AppendAction):
        return list[str]
    if action.choices is not None:
        return Literal.__getitem__(tuple(action.choices))
    return action.type if action.type in (int, float) else str


def _help(action: argparse.Action) -> str:
    return (action.help or str(action.metavar or action.dest)).replace("%%", "%")


def _words(action: argparse.Action, value: Any) -> Iterator[str]:
    """What one would type. A value stands behind its flag's '=', so that none is taken for a flag."""
    if value is None or action.dest == "help":
        return
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        yield from _switch(action, value)
    elif not action.option_strings:
        yield "--"
        yield from _texts(action, value)
    elif isinstance(action, argparse._AppendAction):
        yield from (f"{action.option_strings[0]}={text}" for text in _texts(action, value))
    else:
        yield f"{action.option_strings[0]}={','.join(_texts(action, value))}"


def _switch(action: argparse.Action, value: Any) -> Iterator[str]:
    if not isinstance(value, bool):
        raise BadInput(f"{action.dest} is true or false, not {str(value)[:40]!r}.")
    negative = action.option_strings[1:] if isinstance(action, argparse.BooleanOptionalAction) else ()
    yield from (action.option_strings[0],) if value else negative[:1]


def _texts(action: argparse.Action, value: Any) -> list[str]:
    """A list's members, or the one value there is."""
    values = value if isinstance(value, list) else [value]
    for one in values:
        plain = isinstance(one, str | int | float) and not isinstance(one, bool)
        if not plain or "\0" in str(one) or str(one) == "--":  # which argparse would swallow
            raise BadInput(f"{action.dest} is a text or a number, not {str(one)[:40]!r}.")
    return [str(one) for one in values]
