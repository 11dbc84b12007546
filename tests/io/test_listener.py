"""Listeners: which accept errors are retried, backed off from or fatal; room, refusal, the end."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from speedo_trio.events import AcceptFailed, Address, Event
from speedo_trio.io.door import Door as BindDoor
from speedo_trio.io.listener import BACK_OFF, Listener
from speedo_trio.io.wire import Wire


class Acceptor:
    """Takes what it has room for, and remembers it."""

    def __init__(self, most: int = 1000, *, refuses: bool = False) -> None:
        self.wires: list[Wire] = []
        self.refused: list[Address] = []
        self.events: list[Event] = []
        self.most = most
        self._refuses = refuses
        self._stirred = trio.Event()

    def open(self) -> bool:
        return self._refuses or len(self.wires) < self.most

    async def opened(self) -> None:
        while not self.open():
            await self._stirred.wait()

    def admit(self, peer: Address, door: BindDoor | None) -> bool:
        if len(self.wires) < self.most:
            return True
        self.refused.append(peer)
        return False

    def accepted(self, wire: Wire, listener: Listener) -> None:
        self.wires.append(wire)

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def make_room(self, most: int) -> None:
        """Allow more connections."""
        self.most = most
        self._stirred.set()
        self._stirred = trio.Event()


class Listening(socket.socket):
    """A listening socket whose accept() fails as the test wants, and remembers what it gave."""

    errors: list[int]
    given: list[socket.socket]

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        connected, name = super().accept()
        self.given.append(connected)
        return connected, name


class Door:
    """A listening socket, its peers, and what was accepted; all closed at the end."""

    def __init__(self) -> None:
        self.acceptors: list[Acceptor] = []
        self.listeners: list[Listener] = []
        self.sockets: list[socket.socket] = []

    def open(
        self, errors: Iterable[int] = (), path: Path | None = None
    ) -> tuple[Listener, Listening]:
        """Listen on a Unix socket at `path`, or on a TCP port."""
        family = socket.AF_INET if path is None else socket.AF_UNIX
        listening = Listening(family)
        listening.errors, listening.given = list(errors), []
        listening.setblocking(False)
        listening.bind(("127.0.0.1", 0) if path is None else str(path))
        listening.listen(200)
        self.sockets.append(listening)
        listener = Listener(listening)
        self.listeners.append(listener)
        return listener, listening

    def knock(self, listening: socket.socket) -> socket.socket:
        """Connect a peer; the kernel does it without the listener."""
        peer = socket.socket(listening.family)
        self.sockets.append(peer)
        peer.settimeout(5)
        peer.connect(listening.getsockname())
        return peer

    def acceptor(self, most: int = 1000, *, refuses: bool = False) -> Acceptor:
        """Make an acceptor."""
        self.acceptors.append(Acceptor(most, refuses=refuses))
        return self.acceptors[-1]


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """A door that leaves nothing open."""
    door = Door()
    yield door
    for acceptor in door.acceptors:
        for wire in acceptor.wires:
            await wire.close()
    for listener in door.listeners:
        listener.close()
    for each in door.sockets:
        each.close()


def names_in(folder: Path) -> list[str]:
    """What is there."""
    return [path.name for path in folder.iterdir()]


# Accepting


async def test_accept_takes_what_is_queued(door: Door) -> None:
    """Each becomes a wire that knows both ends."""
    listener, listening = door.open()
    peers = [door.knock(listening) for _ in range(3)]
    acceptor = door.acceptor()

    assert listener.accept(acceptor, 100) is None
    assert [(wire.peer.port, wire.peer.host) for wire in acceptor.wires] == [
        (peer.getsockname()[1], "127.0.0.1") for peer in peers
    ]
    assert {wire.local for wire in acceptor.wires} == {listener.address}


async def test_accept_takes_no_more_than_most(door: Door) -> None:
    """The rest waits in the kernel's queue."""
    listener, listening = door.open()
    for _ in range(5):
        door.knock(listening)
    acceptor = door.acceptor()
    listener.accept(acceptor, 3)
    assert len(acceptor.wires) == 3

    listener.accept(acceptor, 100)
    assert len(acceptor.wires) == 5


async def test_accepted_sockets_are_ready_to_use(door: Door) -> None:
    """They don't block, and TCP sends small replies at once."""
    listener, listening = door.open()
    door.knock(listening)
    listener.accept(door.acceptor(), 100)

    (given,) = listening.given
    assert not given.getblocking()
    assert given.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_peer_that_is_gone_before_it_is_accepted(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be set on its socket; whoever serves it will see why."""
    listener, listening = door.open()
    door.knock(listening)

    def fail(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(socket.socket, "setsockopt", fail)
    acceptor = door.acceptor()
    listener.accept(acceptor, 100)

    assert len(acceptor.wires) == 1


async def test_accepts_unix_peers(door: Door, tmp_path: Path) -> None:
    """Whose address has no path; a local one has the listener's."""
    listener, listening = door.open(path=tmp_path / "s")
    door.knock(listening)
    acceptor = door.acceptor()
    listener.accept(acceptor, 100)

    (wire,) = acceptor.wires
    assert listener.address == wire.local == Address("unix", path=f"{tmp_path}/s")
    assert wire.peer == Address("unix")
    assert not listening.given[0].getblocking()


async def test_accept_leaves_peers_waiting_when_there_is_no_room(door: Door) -> None:
    """They stay in the kernel's queue and are served when there is."""
    listener, listening = door.open()
    for _ in range(3):
        door.knock(listening)
    acceptor = door.acceptor(most=2)

    assert listener.accept(acceptor, 100) is None
    assert len(acceptor.wires) == 2
    assert acceptor.events == []
    acceptor.make_room(3)
    listener.accept(acceptor, 100)
    assert len(acceptor.wires) == 3


async def test_accept_refuses_when_there_is_no_room(door: Door) -> None:
    """Peers that are not admitted are closed at once."""
    listener, listening = door.open()
    _, over, over_too = (door.knock(listening) for _ in range(3))
    acceptor = door.acceptor(most=1, refuses=True)
    listener.accept(acceptor, 100)

    assert len(acceptor.wires) == 1
    names = [Address("tcp", "127.0.0.1", peer.getsockname()[1]) for peer in (over, over_too)]
    assert acceptor.refused == names
    assert over.recv(10) == over_too.recv(10) == b""


LACKING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PEERS_FAULT = (
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.EPERM,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENONET,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.ETIMEDOUT,
)
"""accept(2): pending network errors of the new socket, to be treated like EAGAIN by retrying."""
CLOSED = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)


def name_of(number: int) -> str:
    """EMFILE and so on."""
    return errno.errorcode[number]


@pytest.mark.parametrize("number", LACKING, ids=name_of)
async def test_accept_tells_what_the_system_lacks(number: int, door: Door) -> None:
    """It stops there and then; the peer waits in the kernel's queue."""
    listener, listening = door.open([number])
    door.knock(listening)
    acceptor = door.acceptor()
    lacking = listener.accept(acceptor, 100)
    assert lacking is not None
    assert lacking.errno == number
    assert acceptor.wires == []

    assert listener.accept(acceptor, 100) is None
    assert len(acceptor.wires) == 1


@pytest.mark.parametrize("number", PEERS_FAULT, ids=name_of)
async def test_accept_goes_on_after_a_peers_error(number: int, door: Door) -> None:
    """That peer is gone; the next are accepted at once, and nobody is told."""
    listener, listening = door.open([number])
    door.knock(listening)
    acceptor = door.acceptor()

    assert listener.accept(acceptor, 100) is None
    assert len(acceptor.wires) == 1
    assert acceptor.events == []


@pytest.mark.parametrize("number", CLOSED, ids=name_of)
async def test_accept_raises_when_the_listening_socket_is_gone(number: int, door: Door) -> None:
    """Trying again would never end."""
    listener, _ = door.open([number])
    with pytest.raises(OSError, match=os.strerror(number)):
        listener.accept(door.acceptor(), 100)


async def test_endless_peers_errors_end_the_burst(door: Door) -> None:
    """Others run though accept() fails again and again."""
    listener, listening = door.open([errno.ECONNABORTED] * 1000)
    listener.accept(door.acceptor(), 100)

    assert len(listening.errors) == 1000 - 32


# Running


async def test_run_accepts_as_peers_come(door: Door, nursery: trio.Nursery) -> None:
    """One and several, soon after they have connected."""
    listener, listening = door.open()
    acceptor = door.acceptor()
    nursery.start_soon(listener.run, acceptor)
    for most in (1, 2, 5):
        while len(door.sockets) < 1 + most:
            door.knock(listening)
        await wait_all_tasks_blocked(0.01)

        assert len(acceptor.wires) == most


@pytest.mark.parametrize(("refuses", "most"), [(False, 8), (True, 32)], ids=["serve", "refuse"])
async def test_run_lets_others_run_in_a_storm(
    door: Door, nursery: trio.Nursery, most: int, *, refuses: bool
) -> None:
    """New peers are accepted a few at a time: few that are served, more that are refused."""
    listener, listening = door.open()
    for _ in range(150):
        door.knock(listening)
    acceptor = door.acceptor(0, refuses=True) if refuses else door.acceptor()
    came = acceptor.refused if refuses else acceptor.wires
    nursery.start_soon(listener.run, acceptor)
    steps = [0]
    with trio.fail_after(5):
        while len(came) < 150:
            await trio.lowlevel.checkpoint()
            steps.append(len(came))

    # Two goes may fall between two looks of this task.
    assert max(after - before for before, after in itertools.pairwise(steps)) <= 2 * most


async def test_run_waits_for_room(door: Door, nursery: trio.Nursery) -> None:
    """And goes on when there is."""
    listener, listening = door.open()
    acceptor = door.acceptor(most=1)
    nursery.start_soon(listener.run, acceptor)
    for _ in range(3):
        door.knock(listening)
    await wait_all_tasks_blocked(0.01)
    assert len(acceptor.wires) == 1

    acceptor.make_room(2)
    await wait_all_tasks_blocked(0.01)
    assert len(acceptor.wires) == 2


async def test_run_refuses(door: Door, nursery: trio.Nursery) -> None:
    """A peer that comes when there is no room does not wait."""
    listener, listening = door.open()
    acceptor = door.acceptor(most=0, refuses=True)
    nursery.start_soon(listener.run, acceptor)
    peer = door.knock(listening)
    await wait_all_tasks_blocked(0.01)

    assert peer.recv(10) == b""
    assert len(acceptor.refused) == 1


async def test_run_backs_off(door: Door, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """While the system lacks something it tries now and then, and tells of each failure."""
    listener, listening = door.open([errno.EMFILE, errno.ENFILE])
    acceptor = door.acceptor()
    door.knock(listening)
    nursery.start_soon(listener.run, acceptor)
    await trio.sleep(BACK_OFF * 1.5)
    assert acceptor.wires == []
    await trio.sleep(BACK_OFF)

    assert len(acceptor.wires) == 1
    assert [
        (event.address, event.error.errno, event.retry_in)
        for event in acceptor.events
        if isinstance(event, AcceptFailed)
    ] == [
        (listener.address, errno.EMFILE, BACK_OFF),
        (listener.address, errno.ENFILE, BACK_OFF),
    ]


async def test_run_raises_when_the_listening_socket_is_gone(door: Door) -> None:
    """A listener that can accept no more does not pretend to."""
    listener, listening = door.open([errno.EBADF])
    door.knock(listening)
    with trio.fail_after(5), pytest.raises(OSError, match="Bad file descriptor"):
        await listener.run(door.acceptor())


@pytest.mark.parametrize("state", ["readable", "room", "backing off", "not begun"])
async def test_close_ends_run(state: str, door: Door) -> None:
    """Whatever it waits for, and before it has begun."""
    listener, listening = door.open([errno.EMFILE] * 1000)
    acceptor = door.acceptor(most=0 if state == "room" else 1)
    if state == "backing off":
        door.knock(listening)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run, acceptor)
            if state != "not begun":
                await wait_all_tasks_blocked()
            listener.close()

    assert acceptor.wires == []


async def test_close_ends_run_that_has_just_got_room(door: Door) -> None:
    """Room that comes in the same moment as the end does no harm."""
    listener, _ = door.open()
    acceptor = door.acceptor(most=0)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run, acceptor)
            await wait_all_tasks_blocked()
            acceptor.make_room(1)
            listener.close()


async def test_close_in_the_moment_that_a_peer_comes(door: Door) -> None:
    """Whichever of the two tasks goes first, run() ends and nothing breaks."""
    for _ in range(20):
        listener, listening = door.open()
        ours, theirs = socket.socketpair()
        door.sockets += [ours, theirs]

        async def close_when_told(bell: socket.socket, listener: Listener) -> None:
            await trio.lowlevel.wait_readable(bell)
            listener.close()

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listener.run, door.acceptor())
                nursery.start_soon(close_when_told, ours, listener)
                await wait_all_tasks_blocked()
                door.knock(listening)
                theirs.send(b"x")


# Accepting the rest


async def test_accept_rest(door: Door) -> None:
    """It takes all that are queued, with others running in between, and no longer than needed."""
    listener, listening = door.open()
    for _ in range(100):
        door.knock(listening)
    acceptor = door.acceptor()
    with trio.move_on_after(0) as scope:
        await listener.accept_rest(acceptor)
    assert 0 < len(acceptor.wires) < 100
    assert scope.cancelled_caught

    await listener.accept_rest(acceptor)
    assert len(acceptor.wires) == 100


async def test_accept_rest_queues_nobody_new(door: Door) -> None:
    """Who comes now is to wait for the end of the listener, but for one."""
    listener, listening = door.open()
    await listener.accept_rest(door.acceptor())
    door.knock(listening)
    with pytest.raises(TimeoutError):
        socket.create_connection(listening.getsockname(), timeout=0.1)


async def test_accept_rest_ends_when_there_is_no_room(door: Door) -> None:
    """Nobody leaves for those who still wait."""
    listener, listening = door.open()
    for _ in range(5):
        door.knock(listening)
    acceptor = door.acceptor(most=3)
    with trio.fail_after(5):
        await listener.accept_rest(acceptor)

    assert len(acceptor.wires) == 3


async def test_accept_rest_ends_when_the_system_has_no_room(door: Door) -> None:
    """It is no time to wait for descriptors."""
    listener, listening = door.open([errno.EMFILE])
    door.knock(listening)
    acceptor = door.acceptor()
    with trio.fail_after(5):
        await listener.accept_rest(acceptor)

    assert acceptor.wires == []


# Closing


async def test_close_stops_listening(door: Door) -> None:
    """New peers are turned away; once more does nothing; the address stays known."""
    listener, listening = door.open()
    address = listener.address
    listener.close()
    listener.close()

    assert listening.fileno() == -1
    assert listener.address == address
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))


async def test_close_removes_the_unix_sockets_file(door: Door, tmp_path: Path) -> None:
    """The path is free for others."""
    listener, _ = door.open(path=tmp_path / "s")
    listener.close()

    assert names_in(tmp_path) == []


async def test_close_leaves_another_servers_file(door: Door, tmp_path: Path) -> None:
    """When another has taken the path, its file stays, and so does its listening."""
    listener, _ = door.open(path=tmp_path / "s")
    (tmp_path / "s").unlink()
    _, other = door.open(path=tmp_path / "s")
    listener.close()
    listener.close()

    door.knock(other)


async def test_close_without_the_file(door: Door, tmp_path: Path) -> None:
    """Somebody has tidied up already."""
    listener, _ = door.open(path=tmp_path / "s")
    (tmp_path / "s").unlink()
    listener.close()
