"""What the README says is what the code does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
sys.path.insert(0, str(ROOT))


def test_the_table_is_the_newest_record():
    from benchmarks.readme import RESULTS, with_table

    assert RESULTS.exists(), "run python -m benchmarks.accuracy, then python -m benchmarks.readme"
    assert with_table(README) == README, "run python -m benchmarks.readme"


def test_the_spaces_front_matter_names_this_app():
    front = README.split("---")[1]
    for line in ("sdk: gradio", 'python_version: "3.12"', "app_file: app.py", "license: apache-2.0"):
        assert line in front
    assert (ROOT / "app.py").exists()


@pytest.mark.parametrize("command", re.findall(r"^python -m apt_core (.+)$", README, re.M))
def test_every_command_of_the_readme_parses(command):
    import shlex

    from apt_core.cli.parser import build_parser

    build_parser().parse_args(shlex.split(command))


def test_every_picture_exists():
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).exists(), picture
