"""mosquitto's own clients, as programs."""

from __future__ import annotations

from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import Program

VERSIONS = ("mqttv31", "mqttv311", "mqttv5")
"""As the option -V has them."""


class Mosquitto(Program):
    """A client of a broker, by TCP unless another way is given: ``mosquitto_sub -t a``."""

    def __init__(self, broker: MQTTBroker, program: str, *options: str, by: str = "tcp") -> None:
        """Start it.

        Args:
            broker: whom it talks to.
            program: what stands behind ``mosquitto_``.
            options: its own.
            by: the broker's bind, or what stands in place of host and port.
        """
        path = broker.address(by).path
        way = ("--unix", path) if path else ("-h", "localhost", "-p", str(broker.port(by)))
        super().__init__(f"mosquitto_{program}", *way, *options)

    @property
    def lines(self) -> list[str]:
        """What it has written, when it has ended well."""
        status = self.end()
        assert status == 0, f"{' '.join(self.words)} ended with {status}:\n{self.text}"
        return self.text.splitlines()


def publish(broker: MQTTBroker, *options: str, by: str = "tcp") -> None:
    """Have mosquitto_pub publish something, and wait for its end."""
    with Mosquitto(broker, "pub", *options, by=by) as program:
        assert [] == program.lines
