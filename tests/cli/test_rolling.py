"""A rolling reload: who is asked, in which order, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.cli.child import NotReloaded, Report
from speedo_trio.cli.log import CommandLog
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.notify import Notifier
from speedo_trio.cli.origins import Origins
from speedo_trio.cli.reading import Reading
from speedo_trio.cli.rolling import Rolling
from speedo_trio.cli.settings import Settings
from speedo_trio.events import Reconfigured
from tests.cli.test_reload import Told


class Keeping:
    """A keeper whose child has an answer."""

    def __init__(self, number: int, answer: Report | None = None) -> None:
        self.number = number
        self.answer = answer
        self.asked = False
        self.child: Any = self

    async def reload(self) -> Report | None:
        self.asked = True
        return self.answer


class Paused(Keeping):
    """One whose child is about to be started again."""

    def __init__(self) -> None:
        super().__init__(2)
        self.child = None


NEW = Settings(processes=3)


async def roll(*keepers: Any, mistake: str = "") -> tuple[Rolling, list[Any]]:
    """Reload them; what was told."""
    voice = Told()

    def reread() -> Reading:
        if mistake:
            raise Mistake(mistake)
        return Reading(NEW, Origins())

    rolling = Rolling(Settings(), reread, CommandLog(None, None), voice, Notifier())
    await rolling.reload(keepers)
    return rolling, voice.events


async def test_what_all_tell_is_told_once() -> None:
    """One that was started a moment ago may have less to change than the others."""
    rolling, events = await roll(
        Keeping(1, Reconfigured(changed=("a", "b"), needs_restart=("c",))),
        Paused(),
        Keeping(3, Reconfigured(changed=("b", "d"), needs_restart=("c",))),
    )

    assert events == [Reconfigured(changed=("a", "b", "d"), needs_restart=("c",))]
    assert rolling.settings is NEW


async def test_the_first_that_refuses_is_the_last_that_is_asked() -> None:
    """The others keep what they have."""
    last = Keeping(2, Reconfigured(changed=()))
    rolling, events = await roll(Keeping(1, NotReloaded("no certificate")), last)

    assert events == ["process 1: no certificate"]
    assert not last.asked
    assert rolling.settings == Settings()


async def test_a_mistake_in_the_settings_is_found_before() -> None:
    """No child is asked."""
    child = Keeping(1)
    _, events = await roll(child, mistake="wrong")

    assert events == ["wrong"]
    assert not child.asked


async def test_one_that_ends_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    """It has no answer, and its successor reads the new settings anyway."""

    class Ending(Keeping):
        async def reload(self) -> Report | None:
            self.child = None
            return None

    _, events = await roll(Ending(1), Keeping(2, Reconfigured(changed=("a",))))

    assert events == [Reconfigured(changed=("a",))]
    assert caplog.messages == []


async def test_one_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    """It is passed over, and that is logged."""
    other = Keeping(2, Reconfigured(changed=("a",)))
    _, events = await roll(Keeping(1), other)

    assert events == [Reconfigured(changed=("a",))]
    assert "does not answer; it may not have reloaded" in caplog.text
