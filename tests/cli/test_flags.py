"""Flags of a plan: the validators, and what is told when one doesn't let a value in."""

from __future__ import annotations

from typing import Annotated

import pytest
from attrs import field, frozen
from cyclopts import App, Parameter

from speedo_trio.cli.flags import checking, number, whole
from speedo_trio.errors import ConfigError


def _named(plan: object, attribute: object, value: object) -> None:
    if value != "good":
        raise ConfigError(f"{value!r} is not good")


@frozen(kw_only=True)
class Plan:
    """What a command has."""

    count: int | None = field(default=None, validator=whole(1, 9, none=True))
    share: float = field(default=0.5, validator=number("a share", 0, 1))
    word: str = field(default="good", validator=_named)
    free: str = ""


def run(*words: str) -> Plan:
    """The plan that the words make."""
    plans: list[Plan] = []
    app = App(config=(checking(Plan, "word"),))

    def command(
        extra: str = "", *, plan: Annotated[Plan | None, Parameter(name="*")] = None
    ) -> None:
        plans.append(plan or Plan())

    app.default(command)
    app(words, exit_on_error=False, print_error=False, result_action="return_value")
    return plans.pop()


def test_what_is_allowed_arrives() -> None:
    """Bounds are allowed too; what has no validator is not looked at, nor are other arguments."""
    plan = run("extra", "--count", "9", "--share", "0", "--word", "good", "--free", "7")

    assert plan == Plan(count=9, share=0, free="7")


MISTAKES = {
    "--count 0": "--count is 0; allowed is a whole number from 1 to 9",
    "--count 10": "--count is 10; allowed is a whole number from 1 to 9",
    "--count 2.0": "--count is 2.0; allowed is a whole number from 1 to 9",
    "--share -0.1": "--share is -0.1; allowed is a share from 0 to 1",
    "--share x": "--share is 'x'; allowed is a share from 0 to 1",
    "--share none": "--share is None; allowed is a share from 0 to 1",
    "--word 7": "--word: '7' is not good",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_what_is_not_allowed(words: str) -> None:
    """The flag, what was seen and what is allowed; before it would be rounded."""
    with pytest.raises(ConfigError) as caught:
        run(*words.split())

    assert MISTAKES[words] == str(caught.value)


def test_values_that_no_flag_gives() -> None:
    """The classes hold them to the same."""
    assert Plan(count=None).count is None
    for wrong in (True, "1"):
        with pytest.raises(ConfigError, match=f"count is {wrong!r}; allowed"):
            Plan(count=wrong)  # type: ignore[arg-type]  # that is it
        with pytest.raises(ConfigError, match=f"share is {wrong!r}; allowed"):
            Plan(share=wrong)  # type: ignore[arg-type]  # that is it
