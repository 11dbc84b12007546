"""A peer: one connection to the broker, with what publishers and subscribers have in common.

Next: `speedo_trio.cli.bench.mqtt.publisher`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import trio

from speedo_trio.cli.bench.connector import READ_BYTES
from speedo_trio.cli.bench.failure import Failure, Kind, failure_of
from speedo_trio.errors import ConnectionLost, MQTTError
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import ConnAck, Connect, Disconnect
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from speedo_trio.cli.bench.connector import Opened
    from speedo_trio.cli.bench.mqtt.bout import Bout
    from speedo_trio.mqtt.wire.packets import Packet

_PUSH_BYTES = 65_536
"""How much of what waits is offered to the wire at once."""


class Peer(ABC):
    """A client of the broker. `connect`, `greet`, then `listen`; at last `hang_up`."""

    def __init__(self, name: str, bout: Bout) -> None:
        """Args: its client identifier; what it shares with the others."""
        self.name: str = name
        self.bout: Bout = bout
        self._opened: Opened | None = None
        self._reader = PacketReader(bout.version)
        self._unsent = bytearray()  # what the kernel did not take at once

    async def connect(self, opened: Opened | None = None) -> None:
        """Connect, and be accepted.

        Args:
            opened: the connection to use, if there is one.

        Raises:
            Failure: it can't, or is refused.
        """
        self._opened = opened or await self.bout.connector.open()
        self.bout.tally.connects.record(self._opened.took)
        version = self.bout.version
        answer = await self._ask(encode(Connect(client_id=self.name, version=version), version))
        if not isinstance(answer, ConnAck) or answer.reason is not ReasonCode.SUCCESS:
            raise Failure(Kind.REFUSED, f"CONNECT of {self.name} was answered with {answer}")
        await self.greet(answer)

    @abstractmethod
    async def greet(self, accepted: ConnAck) -> None:
        """Do what is to be done before the load begins."""

    @abstractmethod
    def take(self, packets: list[Packet], now: int) -> None:
        """Packets have come."""

    @abstractmethod
    def room(self) -> None:
        """All that was to be sent has been taken by the kernel."""

    async def listen(self) -> None:
        """Hear until it is cancelled, or the load fails."""
        assert self._opened is not None
        wire, poller = self._opened.wire, self.bout.poller
        if self._opened.socket is not None and poller is not None:
            with poller.watching(self._opened.socket, self._receive):
                await trio.sleep_forever()
        while True:
            try:
                await wire.readable()
            except ConnectionLost as error:
                self.bout.fail(self._named(failure_of(error)))
            self._receive()

    def send(self, data: bytes) -> None:
        """Send what the kernel takes at once; a task sends the rest."""
        assert self._opened is not None
        self.bout.tally.volume.bytes_sent += len(data)
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._opened.wire.send_nowait(data)
        except ConnectionLost as error:
            self.bout.fail(self._named(failure_of(error)))
            return
        if sent < len(data):
            self._unsent += data[sent:]
            self.bout.nursery.start_soon(self._push)

    @property
    def sending(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._unsent)

    async def hang_up(self) -> None:
        """Say goodbye, and close the connection, if there is one."""
        if self._opened is None:
            return
        opened, self._opened = self._opened, None
        try:
            if not self._unsent:
                opened.wire.send_nowait(encode(Disconnect(), self.bout.version))
        except ConnectionLost:
            pass  # it is gone already
        await opened.wire.close()

    async def _ask(self, data: bytes) -> Packet:
        """Send this before the load begins; the packet that answers it.

        Raises:
            Failure: there was none in time.
        """
        assert self._opened is not None
        wire, timeout = self._opened.wire, self.bout.plan.timeout
        with trio.move_on_after(timeout):
            try:
                while data:
                    data = data[await wire.push(data) :]
                while True:
                    await wire.readable()
                    came = wire.read(READ_BYTES)
                    if came == b"":
                        raise Failure(Kind.EOF, f"the broker ended the connection of {self.name}")
                    for packet in self._reader.feed(came or b""):
                        return packet
            except ConnectionLost as error:
                raise self._named(failure_of(error)) from error
            except MQTTError as error:
                raise Failure(Kind.WRONG, f"{self.name} was sent nonsense: {error}") from error
        raise Failure(Kind.TIMEOUT, f"no answer to {self.name} within {timeout:g} s")

    def _receive(self) -> None:
        """Take what has come, if anything."""
        assert self._opened is not None
        try:
            data = self._opened.wire.read(READ_BYTES)
        except ConnectionLost as error:
            self.bout.fail(self._named(failure_of(error)))
            return
        if data:
            self._hear(data)
        elif data is not None:
            self.bout.fail(Failure(Kind.EOF, f"the broker ended the connection of {self.name}"))

    def _hear(self, data: bytes) -> None:
        self.bout.tally.volume.bytes_received += len(data)
        try:
            packets = list(self._reader.feed(data))
        except MQTTError as error:
            self.bout.fail(Failure(Kind.WRONG, f"{self.name} was sent nonsense: {error}"))
            return
        if packets:
            self.take(packets, self.bout.now())

    async def _push(self) -> None:
        assert self._opened is not None
        try:
            while self._unsent:
                sent = await self._opened.wire.push(bytes(self._unsent[:_PUSH_BYTES]))
                del self._unsent[:sent]
        except ConnectionLost as error:
            self.bout.fail(self._named(failure_of(error)))
        else:
            self.room()

    def unexpected(self, packet: Packet) -> None:
        """The broker sent what has no place here: the load fails."""
        self.bout.fail(Failure(Kind.WRONG, f"{self.name} was sent {packet}"))

    def _named(self, failure: Failure) -> Failure:
        return Failure(failure.kind, f"{self.name}: {failure}")
