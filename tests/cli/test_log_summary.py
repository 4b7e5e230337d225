"""What `maftia log verify` says of a log."""

from __future__ import annotations

import pytest

from maftia.cli.verification import _counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries")])
def test_one_is_told_in_the_singular(number: int, said: str) -> None:
    assert _counted(number, "entry", "entries") == said
