"""What README and documentation say is what the code does."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import pytest

from apt_core.ui.docs import anchor

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BETWEEN_PROCESSES = {"APT_RUN_DEMAND_BYTES", "APT_WARM_SOCKET"}  # set by the program for its own workers
COMMANDS = sorted(
    {
        command
        for page in PAGES
        for command in re.findall(r"^ *python -m apt_core (.+)$", page.read_text("utf-8"), re.MULTILINE)
    }
)
sys.path.insert(0, str(ROOT))


def test_the_generated_parts_are_those_of_today():
    from benchmarks.docs import stale

    assert stale() == [], "run python -m benchmarks.docs"


def test_the_readme_is_one_page():
    assert len(README.split("\n---\n", 1)[1].splitlines()) <= 150


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(file):
    text = re.sub(r"^( *)```.*?^\1```", "", file.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        if address.startswith(("http:", "https:")):
            continue
        name, _, heading = address.partition("#")
        target = (file.parent / name).resolve() if name else file
        assert target.is_file(), address
        assert not heading or heading in anchors(target), address


@cache
def anchors(page: Path) -> set[str]:
    """As the page, mkdocs and GitHub name the headings."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {anchor(heading.replace("`", "")) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def test_every_variable_is_documented():
    from apt_core.runs.quotas import all_limits

    code = "".join(file.read_text("utf-8") for file in (ROOT / "apt_core").rglob("*.py"))
    said = (ROOT / "docs/reference/environment.md").read_text("utf-8")
    of_users = set(re.findall(r'"(APT_[A-Z_]+)"', code)) - {limit.variable for limit in all_limits()}
    assert {name for name in of_users if f"`{name}`" not in said} <= BETWEEN_PROCESSES


def test_the_package_index_shows_no_front_matter_and_no_dead_link():
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("of_setup", ROOT / "setup.py")
    of_setup = module_from_spec(spec)
    spec.loader.exec_module(of_setup)
    shown = of_setup.for_the_index(README)
    assert shown.startswith("# APT Studio\n") and "python app.py" in shown
    assert all(address.startswith("https://") for address in re.findall(r"\]\(([^)]+)\)", shown))


def test_what_the_map_says_was_measured_is_what_the_newest_records_say():
    from benchmarks.measured_methods import FILE, newest

    assert FILE.read_text("utf-8") == newest(), "run python -m benchmarks.measured_methods"


def test_the_spaces_front_matter_names_this_app():
    front = README.split("---")[1]
    for line in ("sdk: gradio", 'python_version: "3.12"', "app_file: app.py", "license: apache-2.0"):
        assert line in front
    assert (ROOT / "app.py").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command):
    import shlex

    from apt_core.cli.parser import build_parser

    build_parser().parse_args(shlex.split(command))


def test_every_picture_exists():
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).exists(), picture


def test_the_table_of_families_is_of_all_families_and_methods():
    """A new family or method is not in the record: run python -m benchmarks.families, then benchmarks.docs."""
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
