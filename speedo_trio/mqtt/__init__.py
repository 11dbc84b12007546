"""An MQTT broker: MQTT 3.1, 3.1.1 and 5.0 on the house's own terms, as any user's protocol."""

from speedo_trio.mqtt.bridging.settings import BridgeSettings as BridgeSettings
from speedo_trio.mqtt.bridging.settings import BridgeTopic as BridgeTopic
from speedo_trio.mqtt.embedding import MQTTServer as MQTTServer
from speedo_trio.mqtt.embedding import bridge as bridge
from speedo_trio.mqtt.embedding import serve_mqtt as serve_mqtt
from speedo_trio.mqtt.events import ClientConnected as ClientConnected
from speedo_trio.mqtt.events import ClientDisconnected as ClientDisconnected
from speedo_trio.mqtt.events import ClientRefused as ClientRefused
from speedo_trio.mqtt.events import EventsMissed as EventsMissed
from speedo_trio.mqtt.events import HookFailed as HookFailed
from speedo_trio.mqtt.events import MQTTEvent as MQTTEvent
from speedo_trio.mqtt.events import SessionEnded as SessionEnded
from speedo_trio.mqtt.events import Subscribed as Subscribed
from speedo_trio.mqtt.events import Unsubscribed as Unsubscribed
from speedo_trio.mqtt.hooks import Authenticate as Authenticate
from speedo_trio.mqtt.hooks import Authentication as Authentication
from speedo_trio.mqtt.hooks import Authorise as Authorise
from speedo_trio.mqtt.hooks import AuthorisePublish as AuthorisePublish
from speedo_trio.mqtt.hooks import AuthoriseSubscribe as AuthoriseSubscribe
from speedo_trio.mqtt.hooks import Hooks as Hooks
from speedo_trio.mqtt.hooks import MakeAuthentication as MakeAuthentication
from speedo_trio.mqtt.hooks import Observe as Observe
from speedo_trio.mqtt.hooks import TopicRights as TopicRights
from speedo_trio.mqtt.hooks import Transform as Transform
from speedo_trio.mqtt.message import MQTTMessage as MQTTMessage
from speedo_trio.mqtt.requests import AuthenticationRequest as AuthenticationRequest
from speedo_trio.mqtt.requests import ClientInfo as ClientInfo
from speedo_trio.mqtt.requests import ConnectRequest as ConnectRequest
from speedo_trio.mqtt.requests import PublishRequest as PublishRequest
from speedo_trio.mqtt.requests import SubscribeRequest as SubscribeRequest
from speedo_trio.mqtt.security.acl_file import ACLFile as ACLFile
from speedo_trio.mqtt.security.anonymous import AnonymousPolicy as AnonymousPolicy
from speedo_trio.mqtt.security.certificate import CertificateUser as CertificateUser
from speedo_trio.mqtt.security.password_file import PasswordFile as PasswordFile
from speedo_trio.mqtt.security.security import Security as Security
from speedo_trio.mqtt.security.settings import SecuritySettings as SecuritySettings
from speedo_trio.mqtt.security.tokens import Tokens as Tokens
from speedo_trio.mqtt.security.user import Proof as Proof
from speedo_trio.mqtt.security.user import User as User
from speedo_trio.mqtt.service import MQTT as MQTT
from speedo_trio.mqtt.state.asks import Challenge as Challenge
from speedo_trio.mqtt.state.capabilities import Capabilities as Capabilities
from speedo_trio.mqtt.stats import SessionStats as SessionStats
from speedo_trio.mqtt.store.contract import Store as Store
from speedo_trio.mqtt.store.settings import Durability as Durability
from speedo_trio.mqtt.store.settings import StoreSettings as StoreSettings
from speedo_trio.mqtt.store.sqlite import SQLiteStore as SQLiteStore
from speedo_trio.mqtt.subscription import MQTTSubscription as MQTTSubscription
from speedo_trio.mqtt.thread import MQTTThread as MQTTThread
from speedo_trio.mqtt.thread import ThreadSubscription as ThreadSubscription
from speedo_trio.mqtt.thread import run_in_thread as run_in_thread
from speedo_trio.mqtt.verdicts import Accepted as Accepted
from speedo_trio.mqtt.verdicts import Grant as Grant
from speedo_trio.mqtt.verdicts import Refused as Refused
from speedo_trio.mqtt.wire.properties import Properties as Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode as ReasonCode
from speedo_trio.mqtt.wire.versions import Version as Version

__all__ = [
    "MQTT",
    "ACLFile",
    "Accepted",
    "AnonymousPolicy",
    "Authenticate",
    "Authentication",
    "AuthenticationRequest",
    "Authorise",
    "AuthorisePublish",
    "AuthoriseSubscribe",
    "BridgeSettings",
    "BridgeTopic",
    "Capabilities",
    "CertificateUser",
    "Challenge",
    "ClientConnected",
    "ClientDisconnected",
    "ClientInfo",
    "ClientRefused",
    "ConnectRequest",
    "Durability",
    "EventsMissed",
    "Grant",
    "HookFailed",
    "Hooks",
    "MQTTEvent",
    "MQTTMessage",
    "MQTTServer",
    "MQTTSubscription",
    "MQTTThread",
    "MakeAuthentication",
    "Observe",
    "PasswordFile",
    "Proof",
    "Properties",
    "PublishRequest",
    "ReasonCode",
    "Refused",
    "SQLiteStore",
    "Security",
    "SecuritySettings",
    "SessionEnded",
    "SessionStats",
    "Store",
    "StoreSettings",
    "SubscribeRequest",
    "Subscribed",
    "ThreadSubscription",
    "Tokens",
    "TopicRights",
    "Transform",
    "Unsubscribed",
    "User",
    "Version",
    "bridge",
    "run_in_thread",
    "serve_mqtt",
]
