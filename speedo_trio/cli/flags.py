"""Flags of commands that have a plan, an attrs class: whether each may have its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import Attribute, fields_dict

from speedo_trio.cli.settings import from_text
from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from cyclopts import App, Argument, ArgumentCollection

Validator: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]


def whole(low: int, high: int, *, none: bool = False) -> Validator:
    """Allow whole numbers from `low` to `high`."""

    def validate(plan: object, attribute: Attribute[Any], value: object) -> None:
        if (value is None and none) or (type(value) is int and low <= value <= high):
            return
        raise ConfigError(
            f"{attribute.name} is {value!r}; allowed is a whole number from {low} to {high}"
        )

    return validate


def number(what: str, low: float, high: float, *, none: bool = False) -> Validator:
    """Allow numbers from `low` to `high`; `what` says of what."""

    def validate(plan: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and none:
            return
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if not right or not low <= value <= high:  # type: ignore[operator]  # it is a number
            raise ConfigError(
                f"{attribute.name} is {value!r}; allowed is {what} from {low:g} to {high:g}"
            )

    return validate


def checking(plan: type, *texts: str) -> Callable[[App, tuple[str, ...], ArgumentCollection], None]:
    """What sees whether each flag may have its value, before Cyclopts would round or reword it.

    It is for an App's `config`.

    Args:
        plan: the attrs class whose validators decide.
        texts: its attributes that are texts, whatever they look like.
    """
    attributes = fields_dict(plan)

    def check(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        for argument in arguments:
            attribute = attributes[argument.keys[-1]] if argument.keys else None
            if attribute is not None and attribute.validator is not None:
                _check(argument, attribute, as_text=attribute.name in texts)

    return check


def _check(argument: Argument, attribute: Attribute[Any], *, as_text: bool) -> None:
    """Check one flag.

    Raises:
        ConfigError: it is not allowed; the text tells the flag, what was seen and what is allowed.
    """
    for token in argument.tokens:
        value = token.value if as_text else from_text(token.value)
        try:
            attribute.validator(None, attribute, value)  # type: ignore[misc]  # there is one
        except ConfigError as error:
            place, text = token.keyword or attribute.name.upper(), str(error)
            named = text.startswith(f"{attribute.name} is ")
            raise ConfigError(
                place + text.removeprefix(attribute.name) if named else f"{place}: {text}"
            ) from None
