"""A client for MQTT servers: publish, subscribe, and iterate over what comes.

It is what the command and bridges need. Programs have good clients to choose from: Paho's, aiomqtt,
gmqtt.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from speedo_trio.broker.broker import encoded
from speedo_trio.errors import ConfigError, ConnectionClosed
from speedo_trio.mqtt.client.conversation import Conversation
from speedo_trio.mqtt.client.dialing import open_stream
from speedo_trio.mqtt.client.target import parse_target
from speedo_trio.mqtt.state.answers import REFUSED
from speedo_trio.mqtt.wire.packets import SubscriptionOptions
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.pubsub.bounds import checked
from speedo_trio.pubsub.topics import check_filter, check_name, parse_shared

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from speedo_trio.mqtt.client.login import Login
    from speedo_trio.mqtt.client.memory import Memory
    from speedo_trio.mqtt.client.message import ReceivedMessage
    from speedo_trio.mqtt.wire.properties import Properties

DEFAULT_BUFFER: Final = 1000


class MQTTClient:
    """A connection to an MQTT server; `connect` makes it.

    Any number of tasks may use it at once. Iterating over it gives the messages that come; of
    several tasks that iterate each message goes to one. The iteration gives all that came before
    the end, and then raises.

    When the connection has ended, all calls that wait and all later ones raise the same:

    - `speedo_trio.ConnectionClosed` with the reason that the server gave, or that this end has;
    - `speedo_trio.ConnectionLost`, which is one, when the connection broke, the server closed it
      without a reason, or didn't answer within the keep alive;
    - `speedo_trio.ProtocolError` when the server sent what MQTT does not allow.

    A cancel does no harm to the connection. What was to be done may be done all the same.
    """

    def __init__(self, conversation: Conversation, *, acknowledges: bool) -> None:
        self._conversation = conversation
        self._acknowledges = acknowledges

    @property
    def session_present(self) -> bool:
        """Whether the server had kept the session of an earlier connection."""
        welcomed = self._conversation.welcomed
        return welcomed is not None and welcomed.session_present

    @property
    def server(self) -> Properties:
        """What the server told when it accepted: its limits, a client identifier."""
        welcomed = self._conversation.welcomed
        assert welcomed is not None
        return welcomed.properties

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> ReasonCode:
        """Publish a message.

        With QoS 0 it returns when the message was handed to the network, with 1 and 2 when the
        server has it for certain. Waits while the server doesn't read, or takes no more such
        messages before it has acknowledged some.

        Returns:
            What the server said: SUCCESS, NO_MATCHING_SUBSCRIBERS, or from 0x80 on why it refused.

        Raises:
            TopicError: the topic is not allowed. Nothing was sent.
            ConfigError: the QoS is not allowed, or the server doesn't allow it. Nothing was sent.
            FrameTooLong: the server takes none as long. Nothing was sent.
            UnsendablePacket: the properties are not allowed. Nothing was sent.
            ConnectionClosed: the connection has ended, or another error, as the class tells.
        """
        name = encoded(topic)
        check_name(name)
        checked("qos", qos, 0, 2)
        settled = await self._conversation.publish(
            lambda dialogue: dialogue.publish(name, payload, qos, properties, retain=retain), qos
        )
        return ReasonCode.SUCCESS if settled is None else settled.reasons[0]

    async def subscribe(
        self, *filters: str, qos: int = 0, options: SubscriptionOptions | None = None
    ) -> tuple[ReasonCode, ...]:
        """Subscribe to filters; returns when the server has done it.

        While it waits, the connection is read beyond the bound of `connect`.

        Args:
            filters: one or more.
            qos: what messages come with at most.
            options: more than a QoS, in its place.

        Returns:
            For each filter the QoS that was granted, or from 0x80 on why it was refused.

        Raises:
            TopicError: a filter is not allowed. Nothing was sent.
            ConfigError: there is none, or the QoS is not allowed. Nothing was sent.
            FrameTooLong: they are too long together. Nothing was sent.
            ConnectionClosed: the connection has ended, or another error, as the class tells.
        """
        terms = SubscriptionOptions(checked("qos", qos, 0, 2)) if options is None else options
        wanted = [(_checked(each), terms) for each in filters]
        if not wanted:
            raise ConfigError("there is no filter; allowed is one or more")
        settled = await self._conversation.ask(lambda dialogue: dialogue.subscribe(wanted))
        assert settled is not None
        if len(settled.reasons) != len(wanted):
            seen = f"{len(settled.reasons)} answers to {len(wanted)} filters"
            error = ConnectionClosed(f"the server gave {seen}")
            self._conversation.finish(error)
            raise error
        return settled.reasons

    async def unsubscribe(self, *filters: str) -> None:
        """Unsubscribe from filters; returns when the server has done it. Raises as `subscribe`."""
        wanted = list(map(_checked, filters))
        if not wanted:
            raise ConfigError("there is no filter; allowed is one or more")
        await self._conversation.ask(lambda dialogue: dialogue.unsubscribe(wanted))

    async def ping(self) -> None:
        """Wait until the server has answered a PINGREQ, and so read all that was sent before.

        Raises:
            ConnectionClosed: the connection has ended, or another error, as the class tells.
        """
        await self._conversation.ping()

    def acknowledge(self, message: ReceivedMessage) -> None:
        """Tell the server that a message is dealt with; until then it would send it again.

        Needed where `connect` was told so. Of QoS 0, or after the end, this does nothing.
        """
        if message.arrival is not None:
            self._conversation.acknowledge(message.arrival)

    def __aiter__(self) -> MQTTClient:
        return self

    async def __anext__(self) -> ReceivedMessage:
        """Wait for the next message; a cancel loses none.

        While messages are there it does not let other tasks run, but it can be cancelled.
        """
        message = await self._conversation.take()
        if self._acknowledges:
            self.acknowledge(message)
        return message


@asynccontextmanager
async def connect(
    url: str,
    login: Login,
    *,
    ssl_context: ssl.SSLContext | None = None,
    buffer: int = DEFAULT_BUFFER,
    acknowledges: bool = True,
    memory: Memory | None = None,
) -> AsyncGenerator[MQTTClient]:
    """Connect to an MQTT server, for the block, which begins when the server has accepted.

    At the end of the block the server is told, and gets a second to do what was sent before; what
    comes meanwhile is dropped. A block that ends by an exception or a cancel just closes, and the
    server publishes the will. Exceptions leave the block as they are, not in a group. There is no
    time limit for connecting but the operating system's; put one around it.

    Args:
        url: ``mqtt://host:port``, ``mqtts://host:port``, ``mqtt+unix:/path``, ``ws://host:port/path``
            or ``wss://host:port/path``.
        login: who connects, and what it asks for.
        ssl_context: for ``mqtts`` and ``wss``; None takes `ssl.create_default_context`.
        buffer: when so many messages wait for the iteration, the client stops reading. One read may
            bring some more.
        acknowledges: whether messages are acknowledged when the iteration gives them; else
            `MQTTClient.acknowledge` does it.
        memory: what an earlier connection of the same client identifier has left; it goes on if the
            server still has the session.

    Raises:
        ConfigError: the URL or another argument is not allowed.
        UnsendablePacket: the login has what may not be sent.
        ConnectionLost: it can't connect, and why.
        ConnectionClosed: the server refused, and why.
    """
    target = parse_target(url)
    checked("buffer", buffer)
    stream = await open_stream(target, ssl_context)
    async with connect_stream(
        stream, login, buffer=buffer, acknowledges=acknowledges, memory=memory
    ) as client:
        yield client


@asynccontextmanager
async def connect_stream(
    stream: trio.abc.Stream,
    login: Login,
    *,
    buffer: int = DEFAULT_BUFFER,
    acknowledges: bool = True,
    memory: Memory | None = None,
) -> AsyncGenerator[MQTTClient]:
    """As `connect`, over a stream that is connected already. It is closed at the end."""
    try:
        conversation = Conversation(stream, login, buffer, memory)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    alone: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(conversation.run)
            try:
                await conversation.welcome()
                yield MQTTClient(conversation, acknowledges=acknowledges)
                await conversation.leave()
            finally:
                conversation.close()
    except BaseExceptionGroup as group:
        # The nursery's own group: around what the block raised, as running raises nothing.
        if len(group.exceptions) > 1:
            raise
        alone = group.exceptions[0]
    if alone is not None:
        try:
            raise alone
        finally:
            del alone  # it has this frame in its traceback


def _checked(topic_filter: str) -> bytes:
    name = encoded(topic_filter)
    if parse_shared(name) is None:
        check_filter(name)
    return name


def granted(reasons: tuple[ReasonCode, ...]) -> bool:
    """Whether a server has subscribed to all filters."""
    return all(reason < REFUSED for reason in reasons)
