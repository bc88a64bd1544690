"""What `pip install .` brings: the code, the assets, and one command."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from apt_core.base import paths

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built as pip builds it, with what the build needs from the package index."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder)]
    # A copy, because setuptools leaves build/ and an egg-info behind.
    source = folder / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, files.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*command, str(source)], check=True)
    (built,) = folder.glob("apt_studio-*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_every_asset_that_is_read(wheel):
    names = set(wheel.namelist())
    for module in (ROOT / "apt_core").rglob("*.py"):
        assert str(module.relative_to(ROOT)) in names
    for folder in ("models", "samples", "texts", "ui", "report", "tour"):
        for asset in filter(Path.is_file, (ROOT / "assets" / folder).rglob("*")):
            assert f"apt_core/assets/{asset.relative_to(ROOT / 'assets')}" in names
    assert "apt_core/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "apt_core/assets/make"))]


@pytest.mark.slow
def test_the_wheel_names_its_command_and_what_it_needs(wheel):
    (points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "apt-studio = apt_core.cli:main" in wheel.read(points).decode()
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    said = wheel.read(metadata).decode()
    assert "Requires-Dist: torch" in said
    assert 'Requires-Dist: lm_eval<0.5,>=0.4.13; extra == "tasks"' in said.replace("lm-eval", "lm_eval")
    assert 'Requires-Dist: gradio[mcp]<7,>=6.31; extra == "mcp"' in said


def test_the_assets_are_found_in_the_repository():
    assert paths.ASSETS == ROOT / "assets"
    assert (paths.ASSETS / "ui" / "studio.js").is_file()
