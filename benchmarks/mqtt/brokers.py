"""The brokers that are compared, as a table: name, where each is from, how it is started."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks import contenders
from benchmarks.mqtt.homes import Home, NodeHome, PythonHome
from benchmarks.servers import HOST, START_SECONDS, ServerError

if TYPE_CHECKING:
    from benchmarks.mqtt.shapes import Shape

_DISCONNECT = b"\xe0\x00"
_SYSTEM_FOLDERS = ":/usr/local/sbin:/usr/sbin"  # where Debian has daemons
_PEERS = Path(__file__).with_name("peers")


@frozen(kw_only=True)
class Broker:
    """One broker program.

    Attributes:
        home: Where it is installed, if it is from a registry of packages.
        versions: The protocol levels that it speaks.
        keep_alive: Seconds that its clients have in CONNECT; some don't take 0, which is none.
    """

    name: str
    title: str
    package: str
    home: Home | None = None
    versions: tuple[int, ...] = (4, 5)
    keep_alive: int = 0

    @property
    def version(self) -> str:
        """The installed version of the package."""
        return (self.home and self.home.version) or "unknown version"

    @property
    def obstacle(self) -> str | None:
        """Whether it isn't installed."""
        if self.home is None or self.home.version is not None:
            return None
        return f"{self.package} is not installed; --install does that"

    def command(self, port: int) -> list[str]:
        """The command that serves on this port of the loopback interface."""
        raise NotImplementedError

    def greet(self, port: int) -> None:
        """Connect and be accepted."""
        try:
            with socket.create_connection((HOST, port), timeout=START_SECONDS) as client:
                client.sendall(self._connect())
                reply = client.recv(4, socket.MSG_WAITALL)
                client.sendall(_DISCONNECT)
        except ConnectionRefusedError:
            raise
        except OSError as error:
            raise ServerError(f"no answer to CONNECT: {error}") from error
        if (reply[:1], reply[3:]) != (b"\x20", b"\x00"):  # CONNACK, success
            raise ServerError(f"answered {reply!r} to CONNECT")

    def version_for(self, shape: Shape) -> int | None:
        """The protocol level to measure it with; None when it has no part in a shape.

        Who speaks only 5.0 is measured with that where others are with 3.1.1.
        """
        if shape.version in self.versions:
            return shape.version
        return None if shape.version == 5 else self.versions[0]

    def _connect(self) -> bytes:
        version = self.versions[0]
        body = b"\x00\x04MQTT%c\x02" % version + self.keep_alive.to_bytes(2)
        body += (b"\x00" if version == 5 else b"") + b"\x00\x05greet"
        return b"\x10%c%b" % (len(body), body)


class Speedo(Broker):
    """This project's broker, as the command serves it."""

    @property
    def version(self) -> str:
        return contenders.version_of(self.package)

    def command(self, port: int) -> list[str]:
        bind = f"tcp://{HOST}:{port}"
        return [sys.executable, "-m", "speedo_trio", "serve", "mqtt", "--bind", bind]


class Mosquitto(Broker):
    """A mosquitto that is on the path, without a file: it serves loopback, and anybody."""

    @property
    def program(self) -> str | None:
        """Where it is."""
        return shutil.which(self.package, path=os.environ.get("PATH", os.defpath) + _SYSTEM_FOLDERS)

    @property
    def version(self) -> str:
        said = subprocess.run(
            [str(self.program), "-h"], capture_output=True, text=True, check=False
        )
        found = re.search(r"version (\S+)", said.stdout)
        return found[1] if found else "unknown version"

    @property
    def obstacle(self) -> str | None:
        return None if self.program else "mosquitto is not installed"

    def command(self, port: int) -> list[str]:
        return [str(self.program), "-p", str(port)]


class PythonPeer(Broker):
    """A file in `peers/`, run by the Python of its home."""

    def command(self, port: int) -> list[str]:
        assert isinstance(self.home, PythonHome)
        module = f"benchmarks.mqtt.peers.{self.name}_broker"
        return [str(self.home.python), "-m", module, str(port)]


class NodePeer(Broker):
    """A file in `peers/`, run by Node with the packages of its home."""

    @property
    def obstacle(self) -> str | None:
        return super().obstacle if shutil.which("node") else "node is not installed"

    def command(self, port: int) -> list[str]:
        assert self.home is not None
        script = _PEERS / f"{self.name}_broker.mjs"
        return [str(shutil.which("node")), str(script), str(self.home.folder), str(port)]


def _from_pypi(name: str, home: PythonHome, **what: Any) -> Broker:
    return PythonPeer(name=name, title=home.package, package=home.package, home=home, **what)


_AEDES = NodeHome(package="aedes")
_MOAT = PythonHome(package="moat-lib-mqtt", beside=("trio",))


BROKERS: tuple[Broker, ...] = (
    Speedo(name="speedo", title="speedo_trio", package="speedo_trio"),
    Mosquitto(name="mosquitto", title="mosquitto", package="mosquitto"),
    _from_pypi("amqtt", PythonHome(package="amqtt"), versions=(4,)),
    _from_pypi("mqttd", PythonHome(package="mqttd")),
    _from_pypi("moat", _MOAT, versions=(5,)),
    _from_pypi("iotcore", PythonHome(package="iotcore"), versions=(4,), keep_alive=600),
    NodePeer(name="aedes", title="aedes", package="aedes", home=_AEDES, versions=(4,)),
)

NAMES = tuple(broker.name for broker in BROKERS)

# The broker that most know, and the best known of those in Python.
BASELINES = {"mosquitto": "mosquitto", "amqtt": "amqtt"}


def chosen(names: list[str], *, install: bool) -> list[Broker]:
    """The brokers of these names, in the table's order; those that are missing are installed.

    Who can't be is told on stderr, and told again when it is to take part.
    """
    brokers = [broker for broker in BROKERS if broker.name in names]
    for broker in brokers:
        if install and broker.home is not None and broker.home.version is None:
            print(f"installing {broker.package}", file=sys.stderr)
            if (failure := broker.home.install()) is not None:
                print(f"{broker.package} can't be installed: {failure}", file=sys.stderr)
    return brokers
