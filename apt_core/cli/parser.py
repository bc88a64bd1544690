"""Which commands there are and what they take. Imports nothing heavy: `--help` must answer at once.

What a job takes is drawn from its fields (`flags`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from apt_core.base.errors import BadInput
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.cli.command import Command, add
from apt_core.cli.job_commands import add_job_commands
from apt_core.cli.run_commands import add_run_commands

_EXAMPLES = """\
examples:
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
  {0} runs show 20261124-130501-a1b2
  {0} runs --search "apt 2:4" --status finished --sort perplexity
  {0} label 20261124-130501-a1b2 --name "The best yet" --tag paper --pin
  {0} compare 20261124-130501-a1b2 20261124-131022-c3d4
"""


class _Parser(argparse.ArgumentParser):
    """Complains in one sentence, as everything else does."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[:1].upper()}{message[1:]} ('{self.prog} --help' shows how).")


def build_parser(policy: HostPolicy = STRICT) -> argparse.ArgumentParser:
    """policy: what this host allows; every command finds it in its options."""
    parser = _Parser(
        prog=_program(),
        description="Prune a language model layer by layer, measure it, and read it beside the dense one. "
        "Without a command: open the page.",
        epilog=_EXAMPLES.format(_program()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="of the page (default: GRADIO_SERVER_PORT or 7860)"
    )
    parser.set_defaults(policy=policy, command=Command("page:run"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_job_commands(commands)
    add_run_commands(commands)
    add(commands, "models", "listing:models", "list the models that have a name here")
    add(commands, "methods", "listing:methods", "list the pruning methods and their options")
    return parser


def _program() -> str:
    """As it was called: `apt-studio`, or the module."""
    return "python -m apt_core" if Path(sys.argv[0]).name == "__main__.py" else "apt-studio"
