"""Asked models stay loaded within a bound, and the least recently used goes first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apt_core.base.errors import OutOfMemory
from apt_core.runs.loaded import LoadedModels

MB = 1_000_000


class Machine:
    """So much memory, models of given sizes, and what was loaded into it."""

    def __init__(self, memory=100 * MB, size=10 * MB, share=0.5, **sizes):
        self.memory, self.loads, self.lefts = memory, [], 0
        self._size, self._sizes = size, sizes
        self.models = LoadedModels(self._load, self.bytes_of, self.free, self._left, share)

    def _load(self, folder):
        self.loads.append(folder.name)
        return f"model {folder.name}"

    def bytes_of(self, folder):
        return self._sizes.get(folder.name, self._size)

    def free(self):
        return self.memory - sum(map(self.bytes_of, self.models.folders))

    def _left(self):
        self.lefts += 1

    def ask(self, names):
        return self.models.take([Path(name) for name in names])

    @property
    def there(self):
        return [folder.name for folder in self.models.folders]


def test_models_stay_and_are_loaded_once():
    machine = Machine()
    assert machine.ask("ab") == ["model a", "model b"]
    machine.ask("ab")
    machine.ask("ac")
    assert machine.loads == ["a", "b", "c"] and machine.lefts == 0


def test_the_least_recently_used_goes_first():
    machine = Machine()  # five of them may stay
    for names in ("ab", "cd", "ae", "af"):
        machine.ask(names)
    assert machine.there == ["c", "d", "e", "a", "f"] and machine.lefts == 1
    machine.ask("cg")
    assert machine.there == ["e", "a", "f", "c", "g"]


def test_those_of_one_question_are_there_together_beyond_the_share():
    machine = Machine(a=40 * MB, b=40 * MB)
    machine.ask("ab")
    assert machine.there == ["a", "b"]
    machine.ask("c")
    assert "c" in machine.there and machine.free() >= 50 * MB


def test_what_does_not_fit_is_one_sentence_and_nothing_leaves():
    machine = Machine(b=95 * MB)
    machine.ask("a")
    with pytest.raises(OutOfMemory, match="The 2 models of this question take 105 MB together, and 100 MB"):
        machine.ask("ab")
    assert machine.there == ["a"] and machine.loads == ["a"]


def test_what_is_loaded_already_is_answered_however_little_is_free():
    machine = Machine()
    machine.ask("ab")
    machine.memory = 5 * MB
    assert machine.ask("ab") == ["model a", "model b"]


def test_a_model_that_cannot_be_loaded_leaves_the_others_usable():
    machine = Machine()
    machine.ask("ab")
    load = machine._load

    def failing(folder):
        raise OSError("torn")

    machine.models._load = failing
    with pytest.raises(OSError, match="torn"):
        machine.ask("ac")
    machine.models._load = load
    assert machine.ask("ac") == ["model a", "model c"]


@given(
    st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=4), max_size=12), st.integers(40, 300)
)
def test_never_more_than_the_share_beside_what_is_asked(questions, memory):
    machine = Machine(memory=memory * MB)
    for names in questions:
        machine.ask(sorted(names))
        held = sum(map(machine.bytes_of, machine.models.folders))
        assert held <= max(10 * MB * len(names), 0.5 * memory * MB)
        assert set(names) <= set(machine.there)
