"""Every exception that speedo_trio raises on purpose.

::

    SpeedoError
    ├── ConfigError           our caller erred: a setting that is not allowed
    │   └── BindError         an address that cannot be parsed or listened on
    ├── HandlerError          our caller erred: a handler or message broke its contract
    │   └── UnsendablePacket  an MQTT packet that may not be sent
    ├── ServerClosed          the server drains or has ended
    ├── RetainedFull          there is no room to retain a message
    ├── StoreError            what is to outlast the process can't be kept or read
    ├── SubscriberTooSlow     messages were taken too slowly, and limits say that this is the end
    ├── ConnectionClosed      the connection is gone; what was to be sent will not be
    │   └── ConnectionLost    the peer or the network broke it
    └── ProtocolError         the peer erred; the connection ends with this as its reason
        ├── HandshakeError    a PROXY, TLS or WebSocket handshake that is not allowed
        ├── FrameTooLong      a frame over its limit
        ├── MalformedFrame    bytes that are no frame
        ├── IncompleteFrame   the peer ended its stream inside a frame
        ├── TopicError        a topic name or filter that is not allowed
        └── MQTTError         an MQTT packet that is not allowed, and the reason code to answer with
            └── MalformedPacket   bytes that are no MQTT packet

The two sides never mix: an error of our caller is a bug or a typing mistake to be mended
here, a `ProtocolError` is the peer's and only ever costs the peer its own connection.
"""

from __future__ import annotations


class SpeedoError(Exception):
    """The root of the tree."""


class ConfigError(SpeedoError, ValueError):
    """A setting that is not allowed; the text says what was seen and what is allowed."""


class BindError(ConfigError):
    """An address that cannot be parsed, resolved or listened on."""


class HandlerError(SpeedoError):
    """A handler or message broke its contract, such as a reply that is not bytes."""


class UnsendablePacket(HandlerError):
    """An MQTT packet that may not be sent: the text says what was seen and what is allowed."""


class ServerClosed(SpeedoError):
    """The server drains or has ended; it takes no new connection."""


class RetainedFull(SpeedoError):
    """There is no room to retain a message; those who are subscribed got it."""


class StoreError(SpeedoError):
    """A store can't be opened, read or written; the text names it and says why."""


class SubscriberTooSlow(SpeedoError):
    """Messages were taken too slowly, and the subscription's limits say that this ends it."""


class ConnectionClosed(SpeedoError):
    """The connection is gone; what was to be sent will not be."""


class ConnectionLost(ConnectionClosed):
    """The peer or the network broke the connection."""


class ProtocolError(SpeedoError):
    """The peer sent what its protocol does not allow.

    A handler raises it (or a subclass of its own) to end the connection with that reason.
    """


class HandshakeError(ProtocolError):
    """A PROXY header, TLS or WebSocket handshake that is not allowed; no handler was made."""


class FrameTooLong(ProtocolError):
    """A frame over its limit, told before more than the limit was buffered."""


class MalformedFrame(ProtocolError):
    """Bytes that cannot start or continue a frame."""


class IncompleteFrame(ProtocolError):
    """The peer ended its stream inside a frame."""


class TopicError(ProtocolError):
    """A topic name or filter that is not allowed; the text says what was seen and what is."""


class MQTTError(ProtocolError):
    """The peer sent an MQTT packet that is not allowed; the text says what was seen and what is.

    Args:
        text: what was seen and what is allowed.
        reason: the reason code of MQTT 5.0 to answer with; 0x82, Protocol Error, if not said.
    """

    def __init__(self, text: str, reason: int = 0x82) -> None:
        super().__init__(text, reason)  # all that it is made of, so that it can be made again
        self.reason: int = reason
        """A `ReasonCode` of `speedo_trio.mqtt`, or its number."""

    def __str__(self) -> str:
        return str(self.args[0])


class MalformedPacket(MQTTError):
    """Bytes that are no MQTT packet: they can't be taken apart."""

    def __init__(self, text: str, reason: int = 0x81) -> None:
        super().__init__(text, reason)
