"""Serve a wire protocol on Trio: bytes to messages, messages to workers, replies in order."""

from speedo_trio.broker.broker import Broker as Broker
from speedo_trio.broker.limits import BrokerLimits as BrokerLimits
from speedo_trio.broker.message import TopicMessage as TopicMessage
from speedo_trio.broker.stats import BrokerStats as BrokerStats
from speedo_trio.broker.stats import SubscriberStats as SubscriberStats
from speedo_trio.broker.subscription import Subscription as Subscription
from speedo_trio.config import Config as Config
from speedo_trio.config import Limits as Limits
from speedo_trio.config import Timeouts as Timeouts
from speedo_trio.config import Workers as Workers
from speedo_trio.echo import EchoProtocol as EchoProtocol
from speedo_trio.errors import BindError as BindError
from speedo_trio.errors import ConfigError as ConfigError
from speedo_trio.errors import ConnectionClosed as ConnectionClosed
from speedo_trio.errors import ConnectionLost as ConnectionLost
from speedo_trio.errors import FrameTooLong as FrameTooLong
from speedo_trio.errors import HandlerError as HandlerError
from speedo_trio.errors import HandshakeError as HandshakeError
from speedo_trio.errors import IncompleteFrame as IncompleteFrame
from speedo_trio.errors import MalformedFrame as MalformedFrame
from speedo_trio.errors import MalformedPacket as MalformedPacket
from speedo_trio.errors import MQTTError as MQTTError
from speedo_trio.errors import ProtocolError as ProtocolError
from speedo_trio.errors import RetainedFull as RetainedFull
from speedo_trio.errors import ServerClosed as ServerClosed
from speedo_trio.errors import SpeedoError as SpeedoError
from speedo_trio.errors import StoreError as StoreError
from speedo_trio.errors import SubscriberTooSlow as SubscriberTooSlow
from speedo_trio.errors import TopicError as TopicError
from speedo_trio.errors import UnsendablePacket as UnsendablePacket
from speedo_trio.events import AcceptFailed as AcceptFailed
from speedo_trio.events import Address as Address
from speedo_trio.events import Cause as Cause
from speedo_trio.events import CloseReason as CloseReason
from speedo_trio.events import ConnectionEnded as ConnectionEnded
from speedo_trio.events import ConnectionFailed as ConnectionFailed
from speedo_trio.events import ConnectionOpened as ConnectionOpened
from speedo_trio.events import ConnectionRefused as ConnectionRefused
from speedo_trio.events import Drained as Drained
from speedo_trio.events import DrainReport as DrainReport
from speedo_trio.events import DrainStarted as DrainStarted
from speedo_trio.events import Event as Event
from speedo_trio.events import GraceOver as GraceOver
from speedo_trio.events import Listening as Listening
from speedo_trio.events import MessageDropped as MessageDropped
from speedo_trio.events import MessageFailed as MessageFailed
from speedo_trio.events import Observer as Observer
from speedo_trio.events import Pause as Pause
from speedo_trio.events import ProxyInfo as ProxyInfo
from speedo_trio.events import Reconfigured as Reconfigured
from speedo_trio.events import Refusal as Refusal
from speedo_trio.events import StoreFailed as StoreFailed
from speedo_trio.events import StoreRecovered as StoreRecovered
from speedo_trio.events import TLSInfo as TLSInfo
from speedo_trio.events import WebSocketInfo as WebSocketInfo
from speedo_trio.logs.event_log import EventLog as EventLog
from speedo_trio.logs.json_lines import JSONFormatter as JSONFormatter
from speedo_trio.meter import Histogram as Histogram
from speedo_trio.meter import HistogramSnapshot as HistogramSnapshot
from speedo_trio.meter import Meter as Meter
from speedo_trio.meter import MeterSnapshot as MeterSnapshot
from speedo_trio.protocol.framed import FramedProtocol as FramedProtocol
from speedo_trio.protocol.framed import LineProtocol as LineProtocol
from speedo_trio.protocol.framing import DelimiterFramer as DelimiterFramer
from speedo_trio.protocol.framing import FixedFramer as FixedFramer
from speedo_trio.protocol.framing import Framer as Framer
from speedo_trio.protocol.framing import LengthPrefixFramer as LengthPrefixFramer
from speedo_trio.protocol.framing import LineFramer as LineFramer
from speedo_trio.protocol.framing import NetstringFramer as NetstringFramer
from speedo_trio.protocol.handler import Connection as Connection
from speedo_trio.protocol.handler import Messages as Messages
from speedo_trio.protocol.handler import ProtocolHandler as ProtocolHandler
from speedo_trio.protocol.handler import ProtocolHandlerFactory as ProtocolHandlerFactory
from speedo_trio.protocol.handler import shared as shared
from speedo_trio.protocol.message import Message as Message
from speedo_trio.protocol.message import Reply as Reply
from speedo_trio.protocol.report import Figure as Figure
from speedo_trio.protocol.report import Reporter as Reporter
from speedo_trio.server import Server as Server
from speedo_trio.server import serve as serve
from speedo_trio.sinks import DiscardProtocol as DiscardProtocol
from speedo_trio.sinks import LogProtocol as LogProtocol
from speedo_trio.stats import ConnectionStats as ConnectionStats
from speedo_trio.stats import ServerStats as ServerStats

__all__ = [
    "AcceptFailed",
    "Address",
    "BindError",
    "Broker",
    "BrokerLimits",
    "BrokerStats",
    "Cause",
    "CloseReason",
    "Config",
    "ConfigError",
    "Connection",
    "ConnectionClosed",
    "ConnectionEnded",
    "ConnectionFailed",
    "ConnectionLost",
    "ConnectionOpened",
    "ConnectionRefused",
    "ConnectionStats",
    "DelimiterFramer",
    "DiscardProtocol",
    "DrainReport",
    "DrainStarted",
    "Drained",
    "EchoProtocol",
    "Event",
    "EventLog",
    "Figure",
    "FixedFramer",
    "FrameTooLong",
    "FramedProtocol",
    "Framer",
    "GraceOver",
    "HandlerError",
    "HandshakeError",
    "Histogram",
    "HistogramSnapshot",
    "IncompleteFrame",
    "JSONFormatter",
    "LengthPrefixFramer",
    "Limits",
    "LineFramer",
    "LineProtocol",
    "Listening",
    "LogProtocol",
    "MQTTError",
    "MalformedFrame",
    "MalformedPacket",
    "Message",
    "MessageDropped",
    "MessageFailed",
    "Messages",
    "Meter",
    "MeterSnapshot",
    "NetstringFramer",
    "Observer",
    "Pause",
    "ProtocolError",
    "ProtocolHandler",
    "ProtocolHandlerFactory",
    "ProxyInfo",
    "Reconfigured",
    "Refusal",
    "Reply",
    "Reporter",
    "RetainedFull",
    "Server",
    "ServerClosed",
    "ServerStats",
    "SpeedoError",
    "StoreError",
    "StoreFailed",
    "StoreRecovered",
    "SubscriberStats",
    "SubscriberTooSlow",
    "Subscription",
    "TLSInfo",
    "Timeouts",
    "TopicError",
    "TopicMessage",
    "UnsendablePacket",
    "WebSocketInfo",
    "Workers",
    "serve",
    "shared",
]
