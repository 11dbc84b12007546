"""JSON lines: one object a line, whatever is logged."""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.events import (
    Address,
    Cause,
    CloseReason,
    ConnectionFailed,
    ConnectionOpened,
    Drained,
    Event,
    MessageFailed,
    ProxyInfo,
    TLSInfo,
    WebSocketInfo,
)
from speedo_trio.logs.event_log import EventLog
from speedo_trio.logs.json_lines import JSONFormatter
from tests.logs.test_event_log import CLOSED, LOGGED, PEER, REPORT, WRONG


class Keep(logging.Handler):
    """Keeps what is logged, as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def keep() -> Iterator[Keep]:
    """What the logger speedo_trio and those below it get."""
    logger, handler = logging.getLogger("speedo_trio"), Keep()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def only(keep: Keep) -> dict[str, Any]:
    """The one line that was logged."""
    (line,) = keep.lines
    assert line.isascii()
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line, parse_constant=pytest.fail)
    return found


def logged(keep: Keep, event: Event) -> dict[str, Any]:
    """The line that an event makes."""
    EventLog()(event)
    return only(keep)


def extra(value: object) -> Any:
    """What becomes of an extra."""
    record = logging.makeLogRecord({"msg": "x", "value": value})
    return json.loads(JSONFormatter().format(record), parse_constant=pytest.fail)["value"]


def test_the_basics() -> None:
    """Time in UTC with milliseconds, level, logger and message, in this order."""
    record = logging.makeLogRecord(
        {
            "created": 1_700_000_000.0625,
            "levelname": "INFO",
            "name": "a.b",
            "msg": "%s\n%d",
            "args": ("é", 2),
        }
    )

    assert JSONFormatter().format(record) == (
        '{"time": "2023-11-14T22:13:20.062Z", "level": "INFO", "logger": "a.b", '
        '"message": "\\u00e9\\n2"}'
    )


def test_what_is_always_there() -> None:
    """A name for the service, say."""
    line = json.loads(JSONFormatter(service="stock").format(logging.makeLogRecord({"msg": "x"})))

    assert line["service"] == "stock"


@pytest.mark.parametrize("row", LOGGED, ids=lambda row: type(row.event).__name__)
def test_every_event_is_an_object(keep: Keep, row: Any) -> None:
    """Its class is its name, and its message is the line of text."""
    line = logged(keep, row.event)

    assert line["event"] == type(row.event).__name__
    assert line["message"] == row.text
    assert line["logger"] == "speedo_trio"


def test_the_fields_of_an_event(keep: Keep) -> None:
    """Addresses are text, an error has its type and text."""
    line = logged(keep, CLOSED)

    assert {name: line[name] for name in list(line)[5:]} == {
        "connection": 4,
        "peer": "tcp://192.0.2.7:40000",
        "reason": {
            "cause": "PROTOCOL_ERROR",
            "error": {"type": "FrameTooLong", "text": "too long"},
        },
        "received": 100,
        "sent": 50,
        "messages": 1,
        "seconds": 1.25,
    }


def test_a_field_whose_name_is_taken(keep: Keep) -> None:
    """The message that failed doesn't replace the line's."""
    line = logged(keep, MessageFailed(connection=1, peer=PEER, message=b"x\n", error=WRONG))

    assert line["message"].startswith("connection 1 from")
    assert line["event_message"] == "780a"


def test_a_report_is_an_object(keep: Keep) -> None:
    """Each number can be asked for."""
    line = logged(keep, Drained(report=REPORT))

    assert line["report"]["executed"] == 20


def test_handshakes_without_their_secrets(keep: Keep) -> None:
    """What was agreed on is there, but no cookie, and no bytes as they came."""
    line = logged(
        keep,
        ConnectionOpened(
            connection=1,
            peer=PEER,
            local=Address("unix", path="/s"),
            proxy=ProxyInfo(proxy=PEER, version=2, tlvs=((5, b"\xff\x00"),)),
            tls=TLSInfo(version="TLSv1.3", cipher="AES", certificate={"subject": ((("a", "b"),),)}),
            websocket=WebSocketInfo(path="/", subprotocol=None, headers=(("cookie", "secret"),)),
        ),
    )

    assert line["local"] == "unix:/s"
    assert line["proxy"] == {
        "proxy": "tcp://192.0.2.7:40000",
        "version": 2,
        "tlvs": [[5, "ff00"]],
    }
    assert line["tls"]["certificate"] == {"subject": [[["a", "b"]]]}
    assert line["websocket"] == {"path": "/", "subprotocol": None}


def test_the_traceback_is_a_text(keep: Keep) -> None:
    """All its lines, on the one."""
    try:
        raise WRONG
    except RuntimeError as error:
        reason = CloseReason(Cause.HANDLER_ERROR, error)
        line = logged(keep, ConnectionFailed(connection=1, peer=PEER, reason=reason))

    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert line["traceback"].endswith("\nRuntimeError: went wrong")


def test_tracebacks_and_stacks_of_others(keep: Keep) -> None:
    """Any logger's; there is none where there is no error."""
    logger = logging.getLogger("speedo_trio.other")
    logger.error("one", exc_info=WRONG, stack_info=True)
    logger.error("two", exc_info=(None, None, None))

    one, two = map(json.loads, keep.lines)
    assert "RuntimeError" in one["traceback"]
    assert one["stack"].startswith("Stack (most recent call last):")
    assert "traceback" not in two


def test_a_traceback_that_came_through_a_queue() -> None:
    """`QueueHandler` has made it a text already."""
    try:
        raise WRONG
    except RuntimeError:
        record = logging.makeLogRecord({"msg": "x", "exc_info": sys.exc_info()})
    record.exc_text = "Traceback: here"
    record.exc_info = None

    assert json.loads(JSONFormatter().format(record))["traceback"] == "Traceback: here"


def test_through_a_queue_handler() -> None:
    """The standard library's way to log from elsewhere keeps the extras."""
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    record = logging.makeLogRecord({"msg": "a %s", "args": ("b",), "colour": "red"})
    logging.handlers.QueueHandler(waiting).handle(record)
    line = json.loads(JSONFormatter().format(waiting.get()))

    assert (line["message"], line["colour"]) == ("a b", "red")


class Colour(Enum):
    """An enum of somebody's."""

    RED = 1


class Broken(dict[str, str]):
    """A mapping that can't be read."""

    def items(self) -> Any:
        raise RuntimeError


def endless() -> list[object]:
    """A list that contains itself."""
    inner: list[object] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**70, str(2**70)),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("é\udcff", "é\\udcff"),
        (b"\x00\xff", "00ff"),
        (bytearray(b"a"), "61"),
        (bytes(100), f"{'00' * 64}… (100 bytes)"),
        (Colour.RED, "RED"),
        (PEER, "tcp://192.0.2.7:40000"),
        (ValueError("x\ny"), {"type": "ValueError", "text": "x\ny"}),
        ((1, [2, {3}]), [1, [2, [3]]]),
        ({"a": {1: None}}, {"a": {"1": None}}),
        (3j, "3j"),
        (Broken(a="b"), "{'a': 'b'}"),
        (endless(), [[[[[["[[...]]"]]]]]]),
    ],
)
def test_what_becomes_of_a_value(value: object, expected: object) -> None:
    """JSON has no way to say most things; then it is their repr()."""
    assert extra(value) == expected


def test_extras_don_t_replace_the_basics() -> None:
    """They get another name."""
    record = logging.makeLogRecord({"msg": "x", "time": "noon", "event": "tea"})
    line = json.loads(JSONFormatter().format(record))

    assert line["time"].endswith("Z")
    assert (line["extra_time"], line["event"]) == ("noon", "tea")


def test_arguments_that_don_t_fit() -> None:
    """The line tells what there is, rather than that there was an error."""
    record = logging.makeLogRecord({"msg": "%d apples", "args": ("two",)})

    assert json.loads(JSONFormatter().format(record))["message"] == "%d apples ('two',)"


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(_anything)
def test_any_value_is_a_line(value: object) -> None:
    """Strict JSON, in ASCII, on one line."""
    line = JSONFormatter().format(logging.makeLogRecord({"msg": "x", "value": value}))

    assert line.isascii()
    assert "\n" not in line
    json.loads(line, parse_constant=pytest.fail)
