"""A lazy module is imported by its first use, and is then the module itself."""

from __future__ import annotations

import sys

import pytest

from apt_core.base.lazy import lazy


@pytest.fixture
def slow(tmp_path, monkeypatch):
    (tmp_path / "slow_module_of_a_test.py").write_text("answer = 42\ndef double(x): return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield lazy("slow_module_of_a_test")
    sys.modules.pop("slow_module_of_a_test", None)


def test_nothing_is_imported_before_the_first_use(slow):
    assert "slow_module_of_a_test" not in sys.modules
    assert slow.double(3) == 6 and slow.answer == 42
    assert "slow_module_of_a_test" in sys.modules


def test_what_is_set_is_set_in_the_module_itself(slow):
    slow.answer = 7
    assert sys.modules["slow_module_of_a_test"].answer == slow.answer == 7
    slow.answer = 42
    assert slow.answer == 42


def test_what_is_not_there_is_an_error(slow):
    with pytest.raises(AttributeError, match="nothing_of_this"):
        slow.nothing_of_this  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        lazy("no_such_module_of_a_test").anything  # noqa: B018
