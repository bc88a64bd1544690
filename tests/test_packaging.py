"""What `pip install .` brings: the code, the assets, and one command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from apt_core import __version__
from apt_core.base import paths

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy, because setuptools leaves build/ and an egg-info behind."""
    folder = tmp_path_factory.mktemp("source")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, files.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def built_from(source: Path, folder: Path) -> Path:
    """The wheel, built as pip builds it, with what the build needs from the package index."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(source)], check=True)
    (built,) = folder.glob("apt_studio-*.whl")
    return built


@pytest.fixture(scope="module")
def wheel_file(source, tmp_path_factory):
    return built_from(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel(wheel_file):
    return zipfile.ZipFile(wheel_file)


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory):
    """As `python -m build --sdist` makes it: by the backend, with its own requirements."""
    folder = tmp_path_factory.mktemp("sdist")
    backend = tmp_path_factory.mktemp("backend")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(backend), "setuptools>=77"], check=True
    )
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    environment = os.environ | {"PYTHONPATH": str(backend)}
    subprocess.run(
        [sys.executable, "-c", build], cwd=source, env=environment, check=True, capture_output=True
    )
    (built,) = folder.glob("apt_studio-*.tar.gz")
    return built


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_every_asset_that_is_read(wheel):
    names = set(wheel.namelist())
    for module in (ROOT / "apt_core").rglob("*.py"):
        assert str(module.relative_to(ROOT)) in names
    for folder in ("models", "samples", "texts", "ui", "report", "tour"):
        for asset in filter(Path.is_file, (ROOT / "assets" / folder).rglob("*")):
            assert f"apt_core/assets/{asset.relative_to(ROOT / 'assets')}" in names
    for page in (ROOT / "docs").rglob("*.*"):
        assert f"apt_core/docs/{page.relative_to(ROOT / 'docs')}" in names
    assert "apt_core/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "apt_core/assets/make"))]


@pytest.mark.slow
def test_the_wheel_names_its_command_and_what_it_needs(wheel):
    (points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "apt-studio = apt_core.cli:main" in wheel.read(points).decode()
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    said = wheel.read(metadata).decode()
    assert "Requires-Dist: torch" in said
    assert "Description-Content-Type: text/markdown" in said and "\n# APT Studio\n" in said
    assert "sdk: gradio" not in said and "](docs/" not in said
    assert 'Requires-Dist: lm_eval<0.5,>=0.4.13; extra == "tasks"' in said.replace("lm-eval", "lm_eval")
    assert 'Requires-Dist: gradio[mcp]<7,>=6.31; extra == "mcp"' in said


def test_the_assets_are_found_in_the_repository():
    assert paths.ASSETS == ROOT / "assets"
    assert (paths.ASSETS / "ui" / "studio.js").is_file()


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel(wheel, sdist, tmp_path):
    again = zipfile.ZipFile(built_from(sdist, tmp_path))
    assert sorted(again.namelist()) == sorted(wheel.namelist())
    changed = [name for name in wheel.namelist() if again.read(name) != wheel.read(name)]
    assert [name for name in changed if "dist-info" not in name] == []


@pytest.mark.slow
def test_installed_in_a_clean_environment_it_prunes(wheel_file, tmp_path):
    """Far from the repository; the packages that it needs are those of this environment."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        str(wheel_file),
    ]
    subprocess.run(install, check=True)
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "APT_CACHE": str(tmp_path / "cache")}

    def said(*arguments: str) -> str:
        command = [python.with_name("apt-studio"), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert "prune" in said("--help")
    asked_for = [
        "--method",
        "magnitude",
        "--pattern",
        "2:4",
        "--calibration",
        "wiki-sample",
        "--eval",
        "wiki-sample",
        "--json",
    ]
    run = json.loads(said("prune", "--model", "tiny-random-llama", *asked_for))
    assert run["status"] == "finished" and run["versions"]["apt_studio"] == __version__


def test_the_version_is_the_newest_of_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.M)
    assert versions[0] == __version__ and len(set(versions)) == len(versions)
