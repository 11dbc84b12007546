"""Every exception that speedo_trio raises on purpose.

::

    SpeedoError
    ├── ConfigError           our caller erred: a setting that is not allowed
    │   └── BindError         an address that cannot be parsed or listened on
    ├── HandlerError          our caller erred: a handler or message broke its contract
    ├── ServerClosed          the server drains or has ended
    ├── RetainedFull          there is no room to retain a message
    ├── SubscriberTooSlow     messages were taken too slowly, and limits say that this is the end
    ├── ConnectionClosed      the connection is gone; what was to be sent will not be
    │   └── ConnectionLost    the peer or the network broke it
    └── ProtocolError         the peer erred; the connection ends with this as its reason
        ├── HandshakeError    a PROXY, TLS or WebSocket handshake that is not allowed
        ├── FrameTooLong      a frame over its limit
        ├── MalformedFrame    bytes that are no frame
        ├── IncompleteFrame   the peer ended its stream inside a frame
        └── TopicError        a topic name or filter that is not allowed

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


class ServerClosed(SpeedoError):
    """The server drains or has ended; it takes no new connection."""


class RetainedFull(SpeedoError):
    """There is no room to retain a message; those who are subscribed got it."""


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
