"""Topic aliases of one connection, of both directions: they end with it [MQTT-3.3.2-7].

Next: `speedo_trio.mqtt.state.line`.
"""

from __future__ import annotations

from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.wire.reason_codes import ReasonCode


class AliasesIn:
    """What a client's aliases stand for."""

    __slots__ = ("_most", "_topics")

    def __init__(self, most: int) -> None:
        """Begin with none; the client was told that it may use so many."""
        self._most = most
        self._topics: dict[int, bytes] = {}

    def resolve(self, alias: int, topic: bytes) -> bytes:
        """Give the topic of a PUBLISH with an alias, and set the alias if there is a name.

        Every alias that is allowed may be set, and set anew [MQTT-3.3.2-12].

        Args:
            topic: The name that it has; empty for none.

        Raises:
            MQTTError: The alias is not allowed, or stands for nothing.
        """
        if alias > self._most:  # [MQTT-3.3.2-9] [MQTT-3.2.2-17] [MQTT-3.2.2-18]
            raise MQTTError(
                f"PUBLISH has the topic alias {alias}; allowed are "
                + (f"1 to {self._most}" if self._most else "none"),
                ReasonCode.TOPIC_ALIAS_INVALID,
            )
        if topic:
            self._topics[alias] = topic
            return topic
        known = self._topics.get(alias)
        if known is None:
            raise MQTTError(
                f"PUBLISH has no topic name and the alias {alias}, which stands for none; allowed "
                "is one that was set",
                ReasonCode.PROTOCOL_ERROR,
            )
        return known


class AliasesOut:
    """What was made to stand for topics to a client that allows it.

    The first topics get them: to give one away again costs a name each time, and who has few
    topics at a time is served best by those that it began with.
    """

    __slots__ = ("_aliases", "_most")

    def __init__(self, most: int) -> None:
        """Begin with none; so many may be used [MQTT-3.1.2-26] [MQTT-3.3.2-11]."""
        self._aliases: dict[bytes, int] = {}
        self._most = most

    def get(self, topic: bytes) -> int:
        """The alias of a topic; 0 for none."""
        return self._aliases.get(topic, 0)

    def free(self) -> int:
        """An alias that a topic can be given; 0 for none."""
        return 0 if len(self._aliases) >= self._most else len(self._aliases) + 1

    def set(self, topic: bytes, alias: int) -> None:
        """Take note that name and alias were sent: what is only meant to be sent may be dropped."""
        self._aliases[topic] = alias
