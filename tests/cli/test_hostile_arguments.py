"""What no person would write on the command line: one sentence, exit status 2, and no run."""

from __future__ import annotations

import pytest

from apt_core.cli import main
from apt_core.jobs import make_job
from apt_core.runs.store import Store

PRUNE = ["prune", "--model", "tiny-llama", "--method", "wanda", "--pattern", "2:4"]
EVALUATE = ["evaluate", "--model", "tiny-llama", "--eval", "wiki-sample", "--tasks", "arc_easy"]
DIGITS = "1234567890123456789012"


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))


def refused(arguments: list[str], capsys) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err and len(err.splitlines()) == 1, err
    assert Store().list() == []
    return err


@pytest.mark.parametrize("file", ["/proc/self/status", "/proc/cpuinfo", "/dev/zero"])
@pytest.mark.parametrize("flag", ["--calibration", "--eval"])
def test_what_the_kernel_makes_up_is_no_text(file, flag, capsys):
    assert f"There is no text called '{file}'" in refused([*PRUNE, flag, file], capsys)


def test_nor_is_a_link_to_it(tmp_path, capsys):
    link = tmp_path / "text.txt"
    link.symlink_to("/proc/self/status")
    assert "There is no text called" in refused([*PRUNE, "--eval", str(link)], capsys)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_brackets_without_end_are_no_setting(opening, closing, capsys):
    deep = opening * 100_000 + "1" + closing * 100_000
    assert "cannot read" in refused([*PRUNE, "--set", f"mask={deep}"], capsys)


@pytest.mark.parametrize("name", ["mask", "allocation", "mask.block_size"])
def test_as_many_brackets_as_json_can_hold_are_none_either(name, capsys):
    said = refused([*PRUNE, "--set", f"{name}={'[' * 900}1{']' * 900}"], capsys)
    assert len(said) < 400


def test_a_limit_of_22_digits_is_too_many_examples(capsys):
    assert "--limit must be at most 100000" in refused([*EVALUATE, "--limit", DIGITS], capsys)


@pytest.mark.parametrize("limit", ["1e22", "nan", "-1"])
def test_a_limit_that_is_no_number_of_examples_is_refused(limit, capsys):
    try:
        status = main([*EVALUATE, "--limit", limit])
    except SystemExit as error:  # argparse's own
        status = error.code
    assert status == 2 and "limit" in capsys.readouterr().err and Store().list() == []


def test_a_list_of_more_runs_than_there_are_is_all_of_them(recipe_in_store, capsys):
    assert main(["runs", "--limit", DIGITS]) == 0
    assert recipe_in_store in capsys.readouterr().out


@pytest.fixture
def recipe_in_store(data) -> str:
    return Store().create(make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude"))
