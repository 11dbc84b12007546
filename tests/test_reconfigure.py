"""Reconfiguring: what holds from now on, for whom, what can't change, and what errors leave.

`speedo_trio.server.Server.reconfigure`.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import evolve, fields

from speedo_trio import (
    BindError,
    Cause,
    Config,
    ConfigError,
    ConnectionRefused,
    Limits,
    LineProtocol,
    Message,
    Reconfigured,
    Refusal,
    Server,
    Timeouts,
    Workers,
)
from speedo_trio.config import FIXED, flat
from speedo_trio.house import House
from speedo_trio.io import door
from tests.promises.scene import QUICK, Await, Peer, Run, Scripted, serving, until


async def talks(peer: Peer) -> None:
    """See that it is served."""
    await peer.send(b"hello\n")
    assert await peer.line() == b"hello"


# What it tells


async def test_nothing_to_change() -> None:
    """That is told too: who asked wants to know that it was done."""
    async with serving() as stage:
        assert stage.server.reconfigure() == Reconfigured(changed=())
        assert stage.server.reconfigure(config=stage.server.config) == Reconfigured(changed=())
        assert stage.record.events_of(Reconfigured) == [Reconfigured(changed=())] * 2


async def test_names_of_what_changed() -> None:
    """In the order of the settings; the observer gets the same."""
    config = evolve(
        QUICK,
        limits=Limits(connections=5, rate=2.5),
        timeouts=evolve(QUICK.timeouts, idle=60.0),
    )
    async with serving() as stage:
        told = stage.server.reconfigure(config=config)

        assert told == Reconfigured(changed=("limits.connections", "limits.rate", "timeouts.idle"))
        assert stage.record.events_of(Reconfigured) == [told]
        assert stage.server.config == config


async def test_what_needs_a_restart() -> None:
    """It is told each time, and stays as it was; the rest changes."""
    config = Config(
        limits=Limits(backlog=5, messages=7),
        timeouts=QUICK.timeouts,
        workers=Workers(count=3, linger=1.0),
    )
    async with serving() as stage:
        for changed in (("limits.messages",), ()):
            told = stage.server.reconfigure(config=config)
            assert told == Reconfigured(
                changed=changed, needs_restart=("limits.backlog", "workers.count", "workers.linger")
            )

        assert stage.server.config == evolve(QUICK, limits=Limits(messages=7))


def test_every_setting_changes_or_needs_a_restart() -> None:
    """The fixed ones are settings that exist, under their names."""
    assert set(flat(Config())) >= FIXED
    assert {name for name in FIXED if name.startswith("workers.")} == {
        f"workers.{field.name}" for field in fields(Workers)
    }


# For new connections only


async def test_open_connections_go_on_as_they_began() -> None:
    """Limits, time limits and all; those who come later have the new ones."""

    class Measured(Scripted):
        def handle(self, data: bytes) -> Any:
            self.script = lambda *_: Run(lambda: b"%d" % len(data))
            return super().handle(data)

    config = evolve(QUICK, limits=Limits(read_bytes=10), timeouts=Timeouts(idle=0.1, linger=0.1))
    async with serving(kind=Measured) as stage:
        old = await stage.peer()
        await old.send(b"x" * 19 + b"\n")
        assert await old.line() == b"20"
        stage.server.reconfigure(config=config)

        new = await stage.peer()
        await new.send(b"x" * 19 + b"\n")
        assert await new.line() == b"10"
        assert await new.rest() == b""
        new.close()
        await until(lambda: stage.record.causes == [Cause.IDLE])
        await old.send(b"x" * 19 + b"\n")
        assert await old.line() == b"20"


async def test_limits_on_coming_in() -> None:
    """They hold at once, and count those who are there."""
    async with serving() as stage:
        first, _ = await stage.peers_of(2)
        limits = Limits(connections_per_address=2, connections=3, when_full="refuse")
        stage.server.reconfigure(config=evolve(QUICK, limits=limits))
        assert await (await stage.peer(accepted=False)).ended()
        await talks(await stage.peer(source="127.0.0.2"))
        assert await (await stage.peer(accepted=False, source="127.0.0.3")).ended()
        await talks(first)

        why = [event.why for event in stage.record.events_of(ConnectionRefused)]
        assert why == [Refusal.ADDRESS_FULL, Refusal.FULL]


async def test_peers_that_wait_are_let_in() -> None:
    """By a higher limit, without anybody having to leave."""
    async with serving(config=evolve(QUICK, limits=Limits(connections=1))) as stage:
        await talks(await stage.peer())
        waiting = await stage.peer(accepted=False)
        await waiting.send(b"hello\n")
        await trio.sleep(0.05)
        assert stage.server.stats().connections == 1
        stage.server.reconfigure(config=evolve(QUICK, limits=Limits(connections=2)))

        assert await waiting.line() == b"hello"


async def test_grace_of_the_next_drain() -> None:
    """A drain takes the settings of its beginning."""

    async def wait() -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with serving(lambda *_: Await(wait)) as stage:
        peer = await stage.peer()
        await peer.send(b"line\n")
        await until(lambda: stage.server.stats().busy == 1)
        stage.server.reconfigure(config=evolve(QUICK, timeouts=Timeouts(grace=0.05)))
        report = await stage.server.drain()

        assert report.seconds < 1
        assert report.cut_connections == 1


# The factory


class Shout(LineProtocol):
    """Another protocol."""

    def frame(self, line: bytes) -> Message:
        return Run(line.upper)


async def test_another_factory() -> None:
    """For those who come from now on; open connections keep their handlers."""
    async with serving() as stage:
        old = await stage.peer()
        await talks(old)
        assert stage.server.reconfigure(factory=Shout) == Reconfigured(changed=("factory",))
        assert stage.server.reconfigure(factory=Shout) == Reconfigured(changed=())

        new = await stage.peer()
        await new.send(b"hello\n")
        assert await new.line() == b"HELLO"
        await talks(old)


async def test_factory_and_settings_together() -> None:
    """One event for both."""
    async with serving() as stage:
        config = evolve(QUICK, timeouts=evolve(QUICK.timeouts, idle=60.0))
        told = stage.server.reconfigure(config=config, factory=Shout)

        assert told.changed == ("timeouts.idle", "factory")


# Certificates


@pytest.fixture
def certificates(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Stands for the files: each load gives a new context, or raises what is in the list."""
    made: list[object] = []

    def load(files: object) -> object:
        if made and isinstance(made[-1], Exception):
            raise made[-1]
        made.append(object())
        return made[-1]

    monkeypatch.setattr(door, "server_context", load)
    return made


def contexts(server: Server) -> list[object]:
    """Those in use, by listener."""
    return [listener.door and listener.door.context for listener in server._listeners]


TLS = "tls://localhost:0?cert=a"


async def test_certificates_are_loaded_anew(certificates: list[object]) -> None:
    """Once for each bind, whatever the number of its sockets; it counts as a change."""
    async with serving(bind=TLS) as stage:
        assert contexts(stage.server) == [certificates[0]] * 2
        assert stage.server.reconfigure() == Reconfigured(changed=("certificates",))

        assert len(certificates) == 2
        assert contexts(stage.server) == [certificates[1]] * 2


async def test_certificates_that_cannot_be_used_change_nothing(
    certificates: list[object],
) -> None:
    """Neither settings nor factory nor other certificates; nobody is told of a change."""
    async with serving(bind=TLS) as stage:
        before = contexts(stage.server)
        certificates.append(ConfigError("a: there is no certificate in it"))
        config = evolve(QUICK, limits=Limits(connections=1))
        with pytest.raises(BindError, match="there is no certificate in it"):
            stage.server.reconfigure(config=config, factory=Shout)

        assert contexts(stage.server) == before
        assert stage.server.config == QUICK
        assert stage.server._house.factory is not Shout
        assert stage.record.events_of(Reconfigured) == []


async def test_settings_that_are_not_allowed_change_nothing() -> None:
    """They are refused before a server could see them."""
    async with serving() as stage:
        with pytest.raises(ConfigError):
            stage.server.reconfigure(config=Config(limits=Limits(connections=0)))

        assert stage.server.config == QUICK
        await talks(await stage.peer())


# In between


async def test_many_times_under_load() -> None:
    """No message is lost by it, and nobody who waits is forgotten."""
    async with serving(patience=30) as stage:
        done = 0

        async def come_and_go(number: int) -> None:
            nonlocal done
            for turn in range(20):
                peer = await stage.peer(accepted=False)
                line = b"%d:%d" % (number, turn)
                await peer.send(line + b"\n")
                assert await peer.line() == line
                peer.close()
            done += 1

        for number in range(5):
            stage.nursery.start_soon(come_and_go, number)
        rounds = 0
        while done < 5:
            rounds += 1
            limits = Limits(
                connections=1 + rounds % 3,
                connections_per_address=None if rounds % 2 else 10,
                bytes=1 + rounds % 2,
                rate=None if rounds % 5 else 10_000.0,
            )
            stage.server.reconfigure(config=evolve(QUICK, limits=limits))
            await trio.sleep(0.001)

        assert rounds > 5
        assert stage.server.stats().refused == 0


async def test_bytes_of_all_hold_for_open_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one sum. When there is room again, no read counts all connections in vain."""
    counts, full = 0, House.full

    def count(house: House) -> bool:
        nonlocal counts
        counts += 1
        return full(house)

    monkeypatch.setattr(House, "full", count)
    async with serving() as stage:
        old = await stage.peer()
        await talks(old)
        assert counts == 0
        stage.server.reconfigure(config=evolve(QUICK, limits=Limits(bytes=1)))
        await talks(old)
        assert counts == 1

        stage.server.reconfigure(config=QUICK)
        await talks(old)
        assert counts == 1


async def test_server_that_has_ended() -> None:
    """It can be reconfigured; there is nobody left to notice."""
    async with serving() as stage:
        await stage.server.drain()

        assert stage.server.reconfigure(factory=Shout).changed == ("factory",)
