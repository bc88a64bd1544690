"""A job's fields are the command line's flags: none is written twice, and a new one is there by itself."""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
import sys
from typing import Literal

import pytest
from pydantic import Field

from apt_core.base.values import Frozen
from apt_core.cli.flags import add_flags, given
from apt_core.cli.parser import build_parser
from apt_core.jobs import JOBS, Prune


class Window(Frozen):
    text: str = Field(default="wikipedia", description="what is read")
    overlap: float = 0.5


class Tomorrow(Prune):
    """A job that has grown."""

    patience: int = Field(default=3, ge=1, description="how often 100% of it is tried again")
    pace: Literal["auto", "steady"] = "auto"
    in_halves: bool = False
    careful: bool = True
    limit: float | None = None
    windows: tuple[Window, ...] = (Window(),)


@pytest.fixture
def parser():
    made = argparse.ArgumentParser(prog="x")
    add_flags(made, Tomorrow)
    return made


def test_a_new_field_is_a_flag_with_its_description_and_default(parser):
    words = " ".join(parser.format_help().split())
    assert "--patience N how often 100% of it is tried again (default: 3)" in words
    assert "--pace {auto,steady}" in words and "--limit" in words
    assert "--windows-text TEXT what is read (default: wikipedia)" in words


def test_what_was_said_is_nested_as_the_job_is_and_nothing_else_is(parser):
    said = "--model m --patience 5 --pace steady --in-halves --no-careful --limit 1.5 --samples 8"
    options = parser.parse_args([*said.split(), "--windows-overlap", "0.25"])
    assert given(options) == {
        "model": {"id": "m"},
        "patience": 5,
        "pace": "steady",
        "in_halves": True,
        "careful": False,
        "limit": 1.5,
        "calibration": {"samples": 8},
        "windows": {"overlap": 0.25},
    }
    assert given(parser.parse_args(["--model", "m"])) == {"model": {"id": "m"}}


@pytest.mark.parametrize("kind", ["prune", "evaluate"])
def test_every_field_of_a_job_can_be_said(kind):
    """The method and the pattern have flags of their own."""
    parser = argparse.ArgumentParser()
    add_flags(parser, JOBS[kind])
    reached = {path.split(".")[0] for path in parser.get_default("job_fields").values()}
    assert reached == set(JOBS[kind].model_fields) - {"method", "pattern", "kind", "schema_version"}


@pytest.mark.parametrize(
    "flag", ["--samples", "--length", "--eval-samples", "--eval-length", "--eval-skip", "--seed"]
)
def test_the_short_names_stay(flag):
    arguments = ["prune", "--model", "m", "--pattern", "2:4", flag, "7"]
    assert 7 in _leaves(given(build_parser().parse_args(arguments)))


def _leaves(value):
    return [leaf for each in value.values() for leaf in _leaves(each)] if isinstance(value, dict) else [value]


@pytest.mark.alone
@pytest.mark.parametrize("command", [[], ["prune"], ["evaluate"]])
def test_help_takes_half_a_second_of_the_processor_at_most(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "apt_core", *command, "--help"], capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and "usage: python -m apt_core" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_serve_opens_the_page_on_the_port_that_is_named(monkeypatch):
    from apt_core import cli

    opened = []
    monkeypatch.setattr("apt_core.ui.launch.launch", opened.append)
    monkeypatch.delenv("GRADIO_SERVER_PORT", raising=False)
    assert cli.main(["serve", "--port", "7999"]) == 0 and cli.main(["serve"]) == 0
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8000")
    assert cli.main(["serve"]) == 0
    assert opened == [7999, 7860, 8000] and gc.isenabled()
