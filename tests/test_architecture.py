"""The house rules that a reviewer would otherwise have to watch: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from apt_core.jobs import JOBS

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "apt_core"

# Lowest floor first: a room imports from its own floor or from below, never from above.
FLOORS = [
    {"base"},
    {"maths"},
    {"families", "methods"},
    {"jobs"},
    {"events"},
    {"models"},
    {"texts"},
    {"passes"},
    {"measure"},
    {"estimate"},
    {"execute"},
    {"runs"},
    {"studies"},
    {"plots", "reports"},
    {"ui", "cli", "library", "__init__", "__main__"},
]
LOOSE = {"__init__.py", "__main__.py", "py.typed"}
LIGHT = [
    "apt_core.ui.page",
    "apt_core.runs.launcher",
    "apt_core.estimate.preflight",
    "apt_core.reports.samples",
    "apt_core.reports.html",
    "apt_core.reports.markdown",
    "apt_core.reports.export",
    "apt_core.cli.parser",
    "apt_core.runs.worker",  # a run is claimed, and has begun, before torch is there
]


def room_of(file: Path) -> str:
    return file.relative_to(CORE).parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Every module of apt_core that this file imports, also inside functions, not for type checking only."""
    tree = ast.parse(file.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "apt_core":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("apt_core."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy":
            name = node.args[0].value
            found |= {name.split(".")[1]} if name.startswith("apt_core.") else set()
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("apt_core.")}
    return found - {"__version__"}


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize("file", sorted(CORE.rglob("*.py")), ids=lambda file: str(file.relative_to(CORE)))
def test_imports_run_downwards_only(file):
    here = floor_of(room_of(file))
    if file.name == "worker.py" or room_of(file) in ("__init__", "cli"):
        return  # the worker's process and the two front doors reach everything
    above = {room for room in imports(file) if floor_of(room) > here}
    assert not above, f"{file.relative_to(ROOT)} imports from above: {sorted(above)}"


def test_a_run_is_done_without_its_estimate():
    """What an estimate decides (where weights go, which walk) is handed in."""
    for file in (CORE / "execute").rglob("*.py"):
        assert "estimate" not in imports(file), file.name


def test_nothing_lies_loose():
    assert {path.name for path in CORE.iterdir() if path.is_file()} <= LOOSE


def test_every_room_says_what_it_holds():
    for room in (path for path in CORE.rglob("*") if path.is_dir() and any(path.glob("*.py"))):
        words = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        assert len(words) > 20, f"{room.name} does not say what it holds"


def test_every_room_has_its_floor():
    for file in CORE.rglob("*.py"):
        floor_of(room_of(file))


@pytest.mark.parametrize("room", ["maths", "methods"])
def test_the_maths_knows_no_model_and_no_page(room):
    for file in (CORE / room).rglob("*.py"):
        text = file.read_text()
        for foreign in ("transformers", "gradio", "datasets", "plotly"):
            assert f"import {foreign}" not in text, f"{file.name} imports {foreign}"
            assert f"from {foreign}" not in text, f"{file.name} imports {foreign}"


def test_one_file_imports_datasets():
    importers = [
        str(file.relative_to(CORE))
        for file in CORE.rglob("*.py")
        if re.search(r"datasets import|import datasets|lazy\(\"datasets", file.read_text())
    ]
    assert importers == ["texts/hub.py"]


@pytest.fixture(scope="module")
def loaded_by():
    """Module -> which slow libraries are there after its import, in one process for all, in the order of LIGHT."""
    code = (
        "import json, sys; from importlib import import_module\n"
        "for module in sys.argv[1:]:\n"
        "    import_module(module)\n"
        "    print(json.dumps([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules]))\n"
    )
    command = [sys.executable, "-c", code, *LIGHT]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return dict(zip(LIGHT, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("module", LIGHT)
def test_what_serves_the_page_loads_no_torch(module, loaded_by):
    assert loaded_by[module] == []


def inner_imports() -> list[str]:
    """Where a function imports: `file:line`, each once."""
    found = {
        f"{file.relative_to(CORE)}:{inside.lineno}"
        for file in CORE.rglob("*.py")
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for inside in ast.walk(function)
        if isinstance(inside, ast.Import | ast.ImportFrom)
    }
    return sorted(found)


FEW = 14
LONGEST = 60  # lines of a function, its signature and docstring with it


def test_a_file_says_at_its_top_what_it_needs():
    """What is slow to import is a `base.lazy` module there, in place of an import inside a function."""
    found = inner_imports()
    assert len(found) <= FEW, "\n".join(found)
    rooms = ("base/", "texts/", "models/catalogue/", "models/fetch/")
    assert not [place for place in found if place.startswith(rooms)]


def test_a_function_fits_on_a_screen():
    lengths = {
        f"{file.relative_to(CORE)}: {function.name}": function.end_lineno - function.lineno + 1
        for file in CORE.rglob("*.py")
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST}


DOORS = {
    "cli/__init__.py",
    "library/calls.py",
    "runs/worker.py",
    "runs/reader.py",
    "runs/inspector.py",
    "ui/launch.py",
}


def test_nobody_behind_the_front_doors_asks_the_environment_whose_page_it_is():
    """Each process reads `HostPolicy.from_environment` once, where it begins, and hands it in (the page: `Studio`)."""
    asking = {
        str(file.relative_to(CORE))
        for file in CORE.rglob("*.py")
        if re.search(r"\bfrom_environment\(|\bis_public_host\(|APT_PUBLIC|SPACE_ID", file.read_text())
    }
    assert asking <= DOORS | {"base/policy.py"}


KINDS = {"Prune", "Shrink", "Search", "Recover", "Evaluate", "Pruning", "Composed"}
# What each of these is about is one kind of job, or asks for one in its own words. Nobody else does: what differs from
# kind to kind is a field or a method of the job.
OF_ONE_KIND = {
    "cli/prune.py",  # a race is of jobs that prune
    "estimate/asked.py",
    "estimate/memory.py",
    "estimate/placing.py",
    "estimate/preflight.py",
    "estimate/rates.py",
    "estimate/tasks.py",
    "estimate/work.py",
    "events/records.py",  # the typed views of a record's job
    "library/held.py",  # a model in memory loses single weights, no structures
    "reports/reproduce.py",  # a call of Python for each of its functions
    "reports/reproduce_study.py",  # a race is of jobs that prune
    "studies/curve.py",  # of sparsities
    "studies/law_curves.py",  # laws are of recoveries
    "studies/law_groups.py",
    "studies/law_runs.py",
    "studies/rounded.py",  # references are evaluations
    "studies/rounding.py",
    "studies/sweep.py",  # grids are of jobs that prune
    "ui/forms/layer_shares.py",  # allocations are of jobs that prune
    "ui/tabs/allocation.py",
    "ui/views/command.py",  # rivals
}


def core_trees():
    for file in sorted(CORE.rglob("*.py")):
        yield str(file.relative_to(CORE)), ast.parse(file.read_text())


def names_in(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def test_one_place_asks_for_the_class_of_a_job():
    asking = {
        f"{file}:{node.lineno}"
        for file, tree in core_trees()
        if file != "jobs/kinds.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass")
        if any(names_in(argument) & KINDS for argument in node.args[1:])
    }
    assert not asking


def test_nobody_compares_a_kind_with_a_name():
    comparing = {
        f"{file}:{node.lineno}"
        for file, tree in core_trees()
        if not file.startswith("jobs/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        if any(isinstance(one, ast.Attribute) and one.attr == "kind" for one in ast.walk(node))
        if any(isinstance(one, ast.Constant) and one.value in JOBS for one in ast.walk(node))
    }
    assert not comparing


def test_few_files_ask_what_kind_a_job_is_of():
    """Store, index, queue, worker, reader and the fold among those that do not."""
    asking = {
        file
        for file, tree in core_trees()
        if not file.startswith("jobs/")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "apt_core.jobs.kinds"
    }
    assert asking == OF_ONE_KIND
    assert not [file for file in asking if file.startswith(("runs/", "execute/", "plots/"))]


def test_tests_run_coroutines_in_a_thread_of_their_own():
    """A test that calls `asyncio.run` itself fails when a browser test of the same process came before it."""
    asking = {
        f"{file.name}:{node.lineno}"
        for file in sorted(Path(__file__).parent.rglob("*.py"))
        if file.name != "coroutines.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("run", "run_until_complete")
        if names_in(node.value) & {"asyncio", "anyio", "loop"}
    }
    assert not asking
