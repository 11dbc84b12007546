"""Isolation: which errors are a handler's own, and which are nobody's to swallow."""

from __future__ import annotations

import pytest
import trio

from speedo_trio.isolation import own_error


class Odd(BaseException):
    """An exception that is no Exception."""


async def cancelled() -> trio.Cancelled:
    """A Cancelled, which nobody can make."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            return error
    raise AssertionError


@pytest.mark.parametrize("error", [ValueError(), SystemExit(3), Odd(), GeneratorExit()])
def test_whatever_is_raised_is_its_own(error: BaseException) -> None:
    """The odd BaseException of a foreign library included."""
    assert own_error(error) is error


async def test_interrupts_and_cancels_are_not() -> None:
    """They belong to the user and to Trio."""
    assert own_error(KeyboardInterrupt()) is None
    assert own_error(await cancelled()) is None


async def test_groups() -> None:
    """Own is what is left without the cancelled; with an interrupt nothing is."""
    error, cancel = ValueError(), await cancelled()

    assert own_error(BaseExceptionGroup("", [cancel, cancel])) is None
    left = own_error(BaseExceptionGroup("", [cancel, BaseExceptionGroup("", [error, cancel])]))
    assert isinstance(left, BaseExceptionGroup)
    assert left.subgroup(trio.Cancelled) is None
    assert left.subgroup(ValueError) is not None
    assert own_error(BaseExceptionGroup("", [error, KeyboardInterrupt()])) is None


async def test_groups_without_a_cancel_are_told_whole() -> None:
    """With their text and notes."""
    group = ExceptionGroup("two at once", [ValueError(), KeyError()])
    left = own_error(group)

    assert isinstance(left, ExceptionGroup)
    assert left.message == "two at once"
    assert left.exceptions == group.exceptions
