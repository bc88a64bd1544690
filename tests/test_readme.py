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


def test_what_the_map_says_was_measured_is_what_the_newest_records_say():
    from benchmarks.measured_methods import FILE, newest

    assert FILE.read_text("utf-8") == newest(), "run python -m benchmarks.measured_methods"


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


def test_the_table_of_families_is_of_all_families_and_methods():
    """A new family or method is not in the record: run python -m benchmarks.families, then benchmarks.readme."""
    import json

    from apt_core.methods import METHODS
    from benchmarks.families import RESULTS, _kinds

    outcomes = json.loads(RESULTS.read_text().splitlines()[-1])["outcomes"]
    assert set(outcomes) == {name for kind in _kinds().values() for name in kind}
    assert all(set(of_family) == set(METHODS) for of_family in outcomes.values())
    assert all(set(of) == {"0.5", "2:4"} for of_family in outcomes.values() for of in of_family.values())


def test_what_failed_is_named_in_the_table_of_families():
    from benchmarks.families import _kinds, table

    outcomes = {name: {"apt": {"0.5": "", "2:4": ""}} for kind in _kinds().values() for name in kind}
    outcomes["gpt2"]["apt"]["2:4"] = "it broke"
    del outcomes["mamba"]
    told = table({"date": "2026-01-01T00:00", "versions": "x 1", "outcomes": outcomes})
    assert "not GPT-2 (2:4) |" in told and "not Mamba (0.5), Mamba (2:4) |" in told
