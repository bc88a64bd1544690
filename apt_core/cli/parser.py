"""Which commands there are and what they take. Imports nothing heavy: `--help` must answer at once.

What a job takes is drawn from its fields (`flags`).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from apt_core import __version__
from apt_core.base.errors import BadInput
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.words import nearest
from apt_core.cli.command import Command, actions_of, add
from apt_core.cli.job_commands import add_job_commands
from apt_core.cli.run_commands import add_run_commands

_EXAMPLES = """\
examples:
  {0} serve
  {0} prune --model smollm2-135m --method apt --pattern 2:4
  {0} prune --model smollm2-135m --method wanda --sparsity 0.5 --out pruned --json
  {0} prune --model smollm2-135m --method apt --race sparsegpt,wanda --pattern 2:4
  {0} allocation --model smollm2-135m --allocation alphapruning --sparsity 0.7
  {0} sweep --model smollm2-135m --methods apt,wanda --sparsity 0.3,0.5 --pattern 2:4
  {0} evaluate --model pruned --eval my_text.txt
  {0} recover --run 20261124-130501-a1b2 --method spp --steps 200
  {0} law 20261124-140501-a1b2,20261124-141022-c3d4 --within 1.05
  {0} generate --run 20261124-130501-a1b2 --prompt "Why is the sky blue?"
  {0} ask --run 20261124-130501-a1b2 --prompts prompts.txt --csv answers.csv
  {0} inspect 20261124-130501-a1b2 --block 3 --layer self_attn.q_proj --inputs
  {0} runs show latest
  {0} runs --search "apt 2:4" --status finished --sort perplexity
  {0} label 20261124-130501-a1b2 --name "The best yet" --tag paper --pin
  {0} compare 20261124-130501-a1b2 20261124-131022-c3d4
"""


_ENVIRONMENT = """\
environment:
  APT_DATA    where runs are stored; APT_CACHE: where models are
  APT_DEBUG   1 prints the traceback of an unexpected error, too

A run is named by its id, by a beginning that no other id has, or as 'latest'.
"""


class _Parser(argparse.ArgumentParser):
    """Complains in one sentence, as everything else does, and says what is spelt almost like that."""

    commands: argparse._SubParsersAction[argparse.ArgumentParser] | None = (
        None  # of the command line as a whole
    )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        self._check_commands(words)
        options, left = self.parse_known_args(words, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)[:200]}.{self._nearest_flag(left[0], words)}")
        return options

    def error(self, message: str) -> NoReturn:
        said = message[:1].upper() + message[1:]
        end = "" if said.endswith(("?", ".")) else "."
        raise BadInput(f"{said}{end} See '{self.prog} --help'.")

    def _check_commands(self, words: list[str]) -> None:
        """Raise BadInput for a first word that is no command, or a second one that is no action of it."""
        parser: argparse.ArgumentParser = self
        for word in words[:2]:
            commands = parser.commands if isinstance(parser, _Parser) else None
            if commands is None or word.startswith("-"):
                return
            if word not in commands.choices:
                hint = nearest(word[:40], commands.choices)
                parser.error(f"there is no {str(commands.metavar).lower()} {word[:40]!r}.{hint}")
            parser = commands.choices[word]

    def _nearest_flag(self, wrong: str, words: list[str]) -> str:
        parser: argparse.ArgumentParser = self
        for word in words[:2]:
            commands = parser.commands if isinstance(parser, _Parser) else None
            if commands is not None and word in commands.choices:
                parser = commands.choices[word]
        return nearest(wrong.split("=")[0][:40], re.findall(r"--[a-z][a-z-]*", parser.format_help()))


class _Help:
    """The command of a command line without one."""

    def __init__(self, parser: argparse.ArgumentParser):
        self._parser = parser

    def __call__(self, options: argparse.Namespace) -> int:
        self._parser.print_help()
        return 0


def build_parser(policy: HostPolicy = STRICT) -> argparse.ArgumentParser:
    """policy: what this host allows; every command finds it in its options."""
    parser = _Parser(
        prog=_program(),
        description="Prune a language model layer by layer, measure it, and read it beside the dense one.",
        epilog=_EXAMPLES.format(_program()) + "\n" + _ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"APT Studio {__version__}")
    parser.set_defaults(policy=policy, command=_Help(parser))
    commands = actions_of(parser, "commands", "COMMAND")
    serve = commands.add_parser("serve", help="open the page", description="Open the page.")
    serve.set_defaults(command=Command("page:run"))
    serve.add_argument("--port", metavar="N", help="default: GRADIO_SERVER_PORT or 7860")
    add_job_commands(commands)
    add_run_commands(commands)
    add(commands, "models", "listing:models", "list the models that have a name here")
    add(commands, "methods", "listing:methods", "list the pruning methods and their options")
    about = "print a script that completes commands and flags in a shell"
    completion = commands.add_parser("completion", help=about, description=f"{about.capitalize()}.")
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    completion.set_defaults(command=Command("listing:completion"))
    return parser


def _program() -> str:
    """As it was called: `apt-studio`, or the module."""
    return "python -m apt_core" if Path(sys.argv[0]).name == "__main__.py" else "apt-studio"
