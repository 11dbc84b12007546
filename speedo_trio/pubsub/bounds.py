"""A bound: how many or how much of something there may be, seen to be a number that makes sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from attrs import Attribute

_Validator: TypeAlias = "Callable[[Any, Attribute[Any], Any], None]"

MOST = 2**63 - 1
"""The largest bound that can be set."""


def checked(what: str, value: int, low: int = 1, high: int = MOST) -> int:
    """`value`, if it is a whole number in the range.

    Raises:
        ConfigError: It is not.
    """
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"{what} is {value!r}; allowed is a whole number from {low} to {high}")
    return value


def bound(low: int = 1, high: int = MOST) -> _Validator:
    """Make a validator for an attrs field that is a bound."""

    def validate(owner: object, attribute: Attribute[Any], value: int) -> None:
        checked(attribute.name, value, low, high)

    return validate
