"""An application with an MQTT broker inside: a heating that devices and people tell what they want.

Shows `serve_mqtt`: the program subscribes to what thermometers publish, publishes what it decides
with a QoS, answers requests as MQTT 5.0 has them (response topic, correlation data), and says that
it is gone when it ends. Any MQTT client can take part.

Run it with ``python mqtt_app.py``, and in other terminals, with the clients of mosquitto,

    mosquitto_sub -v -t 'heating/#'
    mosquitto_pub -t room/kitchen/temperature -m 17.5
    mosquitto_pub -t room/kitchen/wanted -m 22

End it with Ctrl-C.
"""

from __future__ import annotations

import signal
import sys

import trio

from speedo_trio.mqtt import MQTTMessage, MQTTServer, Properties, serve_mqtt

WARM = 20.0
"""Degrees that a room has until somebody wants others."""


class Heating:
    """What rooms have and want, and which of them are heated."""

    def __init__(self, mqtt: MQTTServer) -> None:
        self.mqtt = mqtt
        self.wanted: dict[str, float] = {}
        self.heated: dict[str, bool] = {}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what is asked for, until the server ends or this is cancelled."""
        filters = "room/+/temperature", "room/+/wanted", "heating/rooms"
        async with self.mqtt.subscribe(*filters, name="heating") as messages:
            self.mqtt.publish("heating/state", b"on", qos=1, retain=True)
            task_status.started()
            async for message in messages:
                self.obey(message)

    def obey(self, message: MQTTMessage) -> None:
        """Do what one message asks for; what can't be understood is told."""
        match message.topic.split("/"):
            case ["heating", "rooms"]:
                self.answer(message)
            case [_, room, what]:
                try:
                    degrees = float(message.payload)
                except ValueError:
                    text = f"{message.topic}: {message.payload!r} from {message.client_id}"
                    self.mqtt.publish("heating/trouble", text.encode())
                    return
                if what == "wanted":
                    self.wanted[room] = degrees
                else:
                    self.heat(room, degrees < self.wanted.get(room, WARM))

    def heat(self, room: str, on: bool) -> None:  # noqa: FBT001  # a switch
        """Switch a room's heating, if that is news; its valve learns of it, later if it's away."""
        if self.heated.get(room) is not on:
            self.heated[room] = on
            self.mqtt.publish(f"heating/{room}", b"on" if on else b"off", qos=1, retain=True)

    def answer(self, request: MQTTMessage) -> None:
        """Tell who asks which rooms are heated."""
        asked = request.properties
        if asked is not None and asked.response_topic:
            rooms = ",".join(room for room, on in self.heated.items() if on)
            properties = Properties(correlation_data=asked.correlation_data)
            self.mqtt.publish(asked.response_topic, rooms.encode(), qos=1, properties=properties)


async def main(*binds: str) -> None:
    """The application: from the start of its tasks to their end."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            mqtt: MQTTServer = await nursery.start(serve_mqtt, *binds)
            await nursery.start(Heating(mqtt).run)
            print("serving MQTT on", *mqtt.addresses, flush=True)
            await anext(signals)
            mqtt.publish("heating/state", b"off", qos=1, retain=True)
            print(await mqtt.drain())
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
