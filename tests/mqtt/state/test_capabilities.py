"""Capabilities: what may be set."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.pubsub.outbox import OutboxLimits, Overflow

EDGES: dict[str, tuple[list[Any], list[Any]]] = {
    "versions": ([("3.1",), ["5.0", "3.1.1"]], [(), "5.0", ("6",), (5.0,), None]),
    "retain_available": ([True, False], [1, None]),
    "wildcard_subscriptions": ([True, False], ["yes"]),
    "subscription_identifiers": ([True, False], [0]),
    "shared_subscriptions": ([True, False], [0]),
    "assign_client_ids": ([True, False], [0]),
    "overflow": (["drop-newest", "drop-oldest", "disconnect"], ["drop", None, Overflow.DISCONNECT]),
    "server_reference": ([None, "none", "other:1883"], ["", 1883]),
    "maximum_qos": ([0, 1, 2], [-1, 3, True, None]),
    "receive_maximum": ([1, 65_535], [0, 65_536]),
    "maximum_packet_size": ([64, 268_435_460], [63, 268_435_461]),
    "topic_alias_maximum": ([0, 65_535], [-1, 65_536]),
    "topic_aliases_sent": ([0, 65_535], [-1, 65_536]),
    "server_keep_alive": ([None, 0, 65_535], [-1, 65_536, 1.5]),
    "maximum_session_expiry": ([0, 0xFFFF_FFFF], [-1, 0x1_0000_0000]),
    "maximum_client_id_size": ([23, 65_535], [22, 65_536]),
    "maximum_subscriptions": ([1], [0]),
    "all_subscriptions": ([1], [0]),
    "publish_rate": ([None, "none", 0.001, 5, 1_000_000], [0, -1, True, "5", 1e7]),
    "publish_burst": ([1], [0]),
    "when_too_fast": (["wait", "disconnect"], ["drop", None]),
    "maximum_inflight": ([1, 65_535], [0, 65_536]),
    "queue_messages": ([1], [0]),
    "queue_bytes": ([1], [0]),
    "maximum_offline_sessions": ([0], [-1]),
    "stall_timeout": ([0, 0.2, 5], [-1, float("inf"), float("nan"), True, "5"]),
    "connect_timeout": ([0.1, 5], [0, -1, float("inf"), float("nan"), True, "5"]),
    "authentication_steps": ([1], [0]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    """What is allowed is taken; what is not is refused, and named."""
    good, bad = EDGES[name]
    for value in good:
        Capabilities(**{name: value})
    for value in bad:
        with pytest.raises(ConfigError, match=f"{name} is "):
            Capabilities(**{name: value})


def test_all_that_has_bounds_is_tested() -> None:
    """A new one is not forgotten."""
    bounded = {each.name for each in attrs.fields(Capabilities) if each.validator is not None}

    assert bounded == EDGES.keys()


def test_the_queue() -> None:
    """Its bounds are those of an outbox."""
    own = Capabilities(queue_messages=5, queue_bytes=6, overflow="drop-oldest")

    assert OutboxLimits(messages=5, bytes=6, overflow=Overflow.DROP_OLDEST) == own.queue
