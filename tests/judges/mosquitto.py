"""mosquitto's own clients, and mosquitto itself as a bridge, as programs."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.ports import held_port, wait_for_listener
from tests.judges.program import PATIENCE, Program

VERSIONS = ("mqttv31", "mqttv311", "mqttv5")
"""As the option -V has them."""

_BRIDGE = """
user root
listener {port} 127.0.0.1
allow_anonymous true
log_type all
connection judge
address 127.0.0.1:{remote}
bridge_protocol_version {version}
remote_clientid {name}
cleansession false
restart_timeout 1
topic # out 2 out/ {name}/out/
topic # in 2 in/ {name}/in/
topic # both 1 both/ {name}/both/
"""


class Reached(Protocol):
    """Who can be reached by clients."""

    def port(self, bind: str = "tcp") -> int: ...
    def path(self, bind: str) -> str | None: ...


class Mosquitto(Program):
    """A client of a broker, by TCP unless another way is given: ``mosquitto_sub -t a``."""

    def __init__(self, broker: Reached, program: str, *options: str, by: str = "tcp") -> None:
        """Start it.

        Args:
            broker: whom it talks to.
            program: what stands behind ``mosquitto_``.
            options: its own.
            by: the broker's bind.
        """
        path = broker.path(by)
        way = ("--unix", path) if path else ("-h", "localhost", "-p", str(broker.port(by)))
        lines = ("stdbuf", "-oL")  # it shows each line at once
        super().__init__(*lines, f"mosquitto_{program}", *way, *options)

    @property
    def lines(self) -> list[str]:
        """What it has written, when it has ended well."""
        status = self.end()
        assert status == 0, f"{' '.join(self.words)} ended with {status}:\n{self.text}"
        return self.text.splitlines()


def publish(broker: Reached, *options: str, by: str = "tcp") -> None:
    """Have mosquitto_pub publish something, and wait for its end."""
    with Mosquitto(broker, "pub", *options, by=by) as program:
        assert [] == program.lines


class Bridge(Program):
    """mosquitto, which has clients of its own and exchanges messages with a broker.

    Its topics ``out/#``, ``in/#`` and ``both/#`` are the broker's ``NAME/out/#`` and so on.
    """

    def __init__(self, folder: Path, broker: MQTTBroker, name: str, version: str) -> None:
        """Start it; it is the broker's client of this name, with a session that stays."""
        self._held = ExitStack()
        self._port = self._held.enter_context(held_port())
        config = folder / "mosquitto.conf"
        config.write_text(
            _BRIDGE.format(port=self._port, remote=broker.port(), name=name, version=version)
        )
        super().__init__("mosquitto", "-c", str(config))
        try:
            wait_for_listener(self._port)
            broker.until_subscribed(f"{name}/in")
            broker.until_subscribed(f"{name}/both")
        except BaseException:
            self.kill()
            raise

    def port(self, bind: str = "tcp") -> int:
        """Where its own clients find it."""
        return self._port

    def path(self, bind: str) -> str | None:
        """It has no Unix socket."""
        return None

    def kill(self) -> None:
        super().kill()
        self._held.close()


_BROKER = """
user root
listener {port} 127.0.0.1
{more}
"""


class MosquittoBroker(Program):
    """mosquitto as a broker, which can be killed and started again on its port."""

    def __init__(self, folder: Path, *settings: str, anonymous: bool = True) -> None:
        """Start it.

        Args:
            folder: for its configuration.
            settings: more lines of that.
            anonymous: whether anybody may connect.
        """
        self._held = ExitStack()
        self._port = self._held.enter_context(held_port())
        config = folder / "broker.conf"
        allowed = f"allow_anonymous {str(anonymous).lower()}"
        config.write_text(_BROKER.format(port=self._port, more="\n".join((allowed, *settings))))
        self._config = config
        super().__init__("mosquitto", "-c", str(config))
        wait_for_listener(self._port)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"mqtt://127.0.0.1:{self._port}"

    def port(self, bind: str = "tcp") -> int:
        """Its port."""
        return self._port

    def path(self, bind: str) -> str | None:
        """It has no Unix socket."""
        return None

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it as a crash would, or a service manager; `again` starts it."""
        self.send(number)
        self.popen.wait(PATIENCE)
        super().kill()

    def again(self) -> None:
        """Start it again, with what it has kept."""
        super().__init__("mosquitto", "-c", str(self._config))
        wait_for_listener(self._port)

    def kill(self) -> None:
        super().kill()
        self._held.close()
