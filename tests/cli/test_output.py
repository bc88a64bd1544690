"""What the commands print: which rows of a long list are shown."""

from __future__ import annotations

import pytest

from apt_core.cli.output import some_of


@pytest.mark.parametrize("many", [*range(40), 100, 1001])
def test_a_dozen_or_two_of_a_list_from_the_first_to_the_last(many):
    shown = some_of(range(many))
    assert len(shown) == many if many < 24 else 12 <= len(shown) <= 24
    assert shown == sorted(set(shown))
    if many:
        assert (shown[0], shown[-1]) == (0, many - 1)
