"""Bounds: whole numbers in a range."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import field, frozen

from speedo_trio.errors import ConfigError
from speedo_trio.pubsub.bounds import bound, checked


@frozen
class Shelf:
    """Something that has a bound."""

    books: int = field(validator=bound(1, 10))


@pytest.mark.parametrize("value", [1, 10])
def test_what_is_allowed(value: int) -> None:
    """Both ends of the range."""
    assert value == Shelf(value).books
    assert value == checked("books", value, 1, 10)


@pytest.mark.parametrize("value", [0, 11, -1, 1.0, "1", None, True])
def test_what_is_not(value: Any) -> None:
    """The error says what was seen and what is allowed."""
    with pytest.raises(ConfigError, match=r"books is .*; allowed is a whole number from 1 to 10"):
        Shelf(value)
    with pytest.raises(ConfigError, match="books"):
        checked("books", value, 1, 10)
