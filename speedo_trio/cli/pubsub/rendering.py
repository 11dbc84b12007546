"""Rendering: a message as the bytes that ``sub`` writes.

Next: `speedo_trio.cli.pubsub.writing`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from attrs import asdict

from speedo_trio.mqtt.client.message import ReceivedMessage
from speedo_trio.sinks import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.cli.pubsub.contract import Received
    from speedo_trio.cli.pubsub.plan import SubPlan
    from speedo_trio.mqtt.wire.properties import Properties


def renderer(plan: SubPlan, *, terminal: bool) -> Callable[[Received], bytes]:
    """What renders messages as the plan says, for a terminal or not."""
    if plan.format == "raw":
        return _raw
    if plan.format == "json":
        return _json
    content = _with_topic if plan.topics else _raw
    if terminal:
        return lambda message: printable(content(message)).encode("utf-8") + b"\n"
    return lambda message: content(message) + b"\n"


def _raw(message: Received) -> bytes:
    return message.payload


def _with_topic(message: Received) -> bytes:
    return b"%b %b" % (message.topic.encode(), message.payload)


def _json(message: Received) -> bytes:
    """An object on a line; in ASCII, so that it commands no terminal."""
    line: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "topic": message.topic,
        "retain": message.retain,
    }
    try:
        line["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        line["payload_base64"] = b64encode(message.payload).decode()
    if isinstance(message, ReceivedMessage):
        line["qos"] = message.qos
        if message.properties is not None:
            line["properties"] = _properties(message.properties)
    return json.dumps(line).encode() + b"\n"


def _properties(properties: Properties) -> dict[str, object]:
    """Those that there are, by their names; bytes that are no text as what stands for them."""
    return {
        name: value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        for name, value in asdict(properties).items()
        if value not in (None, ())
    }
