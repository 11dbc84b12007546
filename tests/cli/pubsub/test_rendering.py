"""Rendering: the bytes of a message in each format, on a terminal and elsewhere."""

from __future__ import annotations

import json
import re

import pytest

from speedo_trio import TopicMessage
from speedo_trio.cli.pubsub.plan import Format, SubPlan
from speedo_trio.cli.pubsub.rendering import renderer

PLAIN = TopicMessage("sensors/küche", "21.5 °C".encode())
NASTY = TopicMessage("a\x1b[2J/b", b"\x1b]0;x\x07\n\xff\\\x9b")

TEXT: dict[tuple[TopicMessage, bool, bool], bytes] = {  # topics, terminal
    (PLAIN, False, False): "21.5 °C\n".encode(),
    (PLAIN, True, False): "sensors/küche 21.5 °C\n".encode(),
    (PLAIN, False, True): "21.5 °C\n".encode(),
    (PLAIN, True, True): "sensors/küche 21.5 °C\n".encode(),
    (NASTY, False, False): b"\x1b]0;x\x07\n\xff\\\x9b\n",
    (NASTY, True, False): b"a\x1b[2J/b \x1b]0;x\x07\n\xff\\\x9b\n",
    (NASTY, False, True): b"\\x1b]0;x\\x07\\n\\xff\\\\\\x9b\n",
    (NASTY, True, True): b"a\\x1b[2J/b \\x1b]0;x\\x07\\n\\xff\\\\\\x9b\n",
    (TopicMessage("t", b""), True, False): b"t \n",
}


@pytest.mark.parametrize("case", TEXT, ids=str)
def test_text_is_a_line(case: tuple[TopicMessage, bool, bool]) -> None:
    """A program gets the bytes as they are; a terminal is commanded by nobody."""
    message, topics, terminal = case

    assert renderer(SubPlan(topics=topics), terminal=terminal)(message) == TEXT[case]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("message", [PLAIN, NASTY], ids=["plain", "nasty"])
def test_raw_is_the_body(message: TopicMessage, *, terminal: bool) -> None:
    """Whoever reads it."""
    assert renderer(SubPlan(format="raw"), terminal=terminal)(message) == message.payload


@pytest.mark.parametrize("terminal", [False, True])
def test_json_is_an_object_a_line(*, terminal: bool) -> None:
    """With the body as text, or in base64 where it is none; nothing in it commands a terminal."""
    render = renderer(SubPlan(format="json"), terminal=terminal)
    plain, nasty = render(PLAIN), render(NASTY)
    told = json.loads(plain)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert told == {"topic": "sensors/küche", "retain": False, "payload": "21.5 °C"}
    assert json.loads(nasty)["payload_base64"] == "G10wO3gHCv9cmw=="
    assert "payload" not in json.loads(nasty)
    for line in (plain, nasty, render(TopicMessage("\x7f\x9b", b"\x7f", retain=True))):
        assert re.fullmatch(rb"[ -~]+\n", line)


def test_every_format_is_rendered() -> None:
    """By something of its own."""
    formats: tuple[Format, ...] = ("text", "json", "raw")

    assert len({renderer(SubPlan(format=name), terminal=False)(PLAIN) for name in formats}) == 3
