"""The servers that are compared, as a table: name, title, what they import, how they start.

What every such program has is `Program`; `benchmarks.mqtt.brokers` is the other table.
"""

from __future__ import annotations

import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Protocol

from attrs import frozen

from benchmarks.servers import HOST, START_SECONDS, ServerError


class Program(Protocol):
    """A server program that takes part in a comparison."""

    @property
    def name(self) -> str:
        """What `--servers` and the results call it."""

    @property
    def title(self) -> str:
        """What tables and plots call it."""

    @property
    def package(self) -> str:
        """Whose version is reported."""

    @property
    def version(self) -> str:
        """That version, or where the package comes from instead."""

    @property
    def obstacle(self) -> str | None:
        """Why it can't be started here; None when it can."""

    def command(self, port: int) -> list[str]:
        """The command that serves on this port of the loopback interface."""

    def greet(self, port: int) -> None:
        """See that it serves.

        Raises:
            ConnectionRefusedError: It doesn't listen yet.
            ServerError: It answers wrongly, or not at all.
        """


@frozen(kw_only=True)
class Contender:
    """One server program.

    Attributes:
        name: What `--servers` and the results call it.
        title: What tables and plots call it.
        package: What must be importable for it, and whose version is reported.
        arguments: What follows `python -m`; `{port}` stands for the port.
    """

    name: str
    title: str
    package: str
    arguments: tuple[str, ...]

    def command(self, port: int) -> list[str]:
        """The command that serves on this port of the loopback interface."""
        return [sys.executable, "-m", *(part.format(port=port) for part in self.arguments)]

    @property
    def obstacle(self) -> str | None:
        """Whether this Python finds the package; it isn't imported here."""
        return None if find_spec(self.package) else f"{self.package} is not installed"

    def greet(self, port: int) -> None:
        """Have one line echoed."""
        try:
            with socket.create_connection((HOST, port), timeout=START_SECONDS) as client:
                client.sendall(b"ready?\n")
                with client.makefile("rb") as replies:
                    reply = replies.readline()
        except ConnectionRefusedError:
            raise
        except OSError as error:
            raise ServerError(f"no answer to the first line: {error}") from error
        if reply != b"ready?\n":
            raise ServerError(f"answered {reply!r} where its echo was expected")

    @property
    def version(self) -> str:
        """The installed version of the package, or where it comes from instead."""
        return version_of(self.package)


def version_of(package: str) -> str:
    """The version of a package that this Python has installed, or where it comes from instead."""
    if package in sys.stdlib_module_names:
        return "standard library"
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed, this tree"


def _speedo(name: str, title: str, protocol: str) -> Contender:
    arguments = ("speedo_trio", "serve", protocol, "--bind", "tcp://127.0.0.1:{port}")
    return Contender(name=name, title=title, package="speedo_trio", arguments=arguments)


def _peer(name: str, title: str, package: str) -> Contender:
    module = "benchmarks.peers." + name.replace("-", "_")
    return Contender(name=name, title=title, package=package, arguments=(module, "{port}"))


CONTENDERS = (
    _speedo("speedo", "speedo, threads", "echo"),
    _speedo("speedo-async", "speedo, async", "benchmarks.speedo_async:AsyncEcho"),
    _peer("asyncio-protocol", "asyncio Protocol", "asyncio"),
    _peer("asyncio-joined", "asyncio Protocol, joined", "asyncio"),
    _peer("asyncio-streams", "asyncio streams", "asyncio"),
    _peer("asyncio-executor", "asyncio run_in_executor", "asyncio"),
    _peer("uvloop-protocol", "uvloop Protocol", "uvloop"),
    _peer("twisted-threads", "Twisted deferToThread", "twisted"),
    _peer("trio-threads", "trio serve_tcp, to_thread", "trio"),
)

NAMES = tuple(contender.name for contender in CONTENDERS)

# What ratios are taken against, and what tables call it: asyncio at its quickest documented way,
# and asyncio when messages may block, which is what the default speedo echo allows.
BASELINES = {"asyncio-protocol": "Protocol", "asyncio-executor": "executor"}


def chosen(names: list[str]) -> list[Contender]:
    """The contenders of these names, in the table's order."""
    return [contender for contender in CONTENDERS if contender.name in names]
