"""An MQTT broker: MQTT 3.1, 3.1.1 and 5.0 on the house's own terms, as any user's protocol."""

from speedo_trio.mqtt.embedding import MQTTServer as MQTTServer
from speedo_trio.mqtt.embedding import serve_mqtt as serve_mqtt
from speedo_trio.mqtt.message import MQTTMessage as MQTTMessage
from speedo_trio.mqtt.service import MQTT as MQTT
from speedo_trio.mqtt.state.capabilities import Capabilities as Capabilities
from speedo_trio.mqtt.stats import SessionStats as SessionStats
from speedo_trio.mqtt.subscription import MQTTSubscription as MQTTSubscription
from speedo_trio.mqtt.thread import MQTTThread as MQTTThread
from speedo_trio.mqtt.thread import ThreadSubscription as ThreadSubscription
from speedo_trio.mqtt.thread import run_in_thread as run_in_thread
from speedo_trio.mqtt.wire.properties import Properties as Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode as ReasonCode
from speedo_trio.mqtt.wire.versions import Version as Version

__all__ = [
    "MQTT",
    "Capabilities",
    "MQTTMessage",
    "MQTTServer",
    "MQTTSubscription",
    "MQTTThread",
    "Properties",
    "ReasonCode",
    "SessionStats",
    "ThreadSubscription",
    "Version",
    "run_in_thread",
    "serve_mqtt",
]
