"""The voice: to people on stdout, or all of it in the log."""

from __future__ import annotations

import logging

import pytest

from speedo_trio.cli.settings import Settings
from speedo_trio.cli.voice import OwnVoice
from speedo_trio.events import Drained, DrainStarted, Listening, Reconfigured
from speedo_trio.logs.event_log import EventLog
from tests.logs.test_event_log import PEER, REFUSED, REPORT

EVENTS = (
    Listening(addresses=(PEER,)),
    REFUSED,
    REFUSED,
    Reconfigured(changed=("a",)),
    DrainStarted(connections=2, grace=9.99997),
    Drained(report=REPORT),
)


def speak(settings: Settings) -> OwnVoice:
    """Have it see a life."""
    voice = OwnVoice(settings, EventLog())
    for event in EVENTS:
        voice.observe(event)
    return voice


def test_as_text(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Beginning and end are on stdout; what goes wrong is logged, and so is what was withheld."""
    caplog.set_level(logging.INFO)
    speak(Settings())

    assert capsys.readouterr().out.splitlines() == [
        f"serving echo on {PEER}",
        "draining 2 connections, up to 10 s; again to stop at once",
        str(REPORT),
    ]
    assert caplog.messages == [
        f"connection from {PEER} refused: limits.connections is 2",
        "1 more like this: refused, limits.connections",
    ]


def test_one_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said of one protocol begins with its name."""
    settings = Settings(also=("log",))
    voice = OwnVoice(settings, EventLog(), "log")
    for event in EVENTS:
        voice.observe(event)

    assert capsys.readouterr().out.splitlines() == [
        f"serving log on {PEER}",
        "log: draining 2 connections, up to 10 s; again to stop at once",
        f"log: {REPORT}",
    ]


def test_as_json(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is on stdout, all is in the log."""
    caplog.set_level(logging.INFO)
    voice = speak(Settings(log_format="json"))
    voice.stopped(1, 2)

    assert capsys.readouterr().out == ""
    assert [vars(record).get("event") for record in caplog.records] == [
        *(EVENTS[0], REFUSED, EVENTS[4], None, EVENTS[5]),
        None,
    ]
    assert caplog.messages[-1] == "stopped at once: cut 1 connection, dropped 2 messages"


@pytest.mark.parametrize(
    ("names", "text"),
    [(("bind",), "bind changed: needs a restart"), (("a", "b"), "a, b changed: need a restart")],
)
def test_a_reload(names: tuple[str, ...], text: str, caplog: pytest.LogCaptureFixture) -> None:
    """What changed, then what needs a restart; a mistake stays on its line."""
    caplog.set_level(logging.INFO)
    voice = OwnVoice(Settings(), EventLog())
    voice.reloaded(Reconfigured(changed=("c",), needs_restart=names))
    voice.not_reloaded("a\nb")

    assert caplog.record_tuples == [
        ("speedo_trio", logging.INFO, "reconfigured: c"),
        ("speedo_trio", logging.WARNING, text),
        ("speedo_trio", logging.ERROR, "not reloaded: a\\nb"),
    ]
