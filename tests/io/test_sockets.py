"""Sockets: what binds open, what is taken over, and what is said of those refused."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from speedo_trio.errors import BindError
from speedo_trio.io import activation
from speedo_trio.io.binds import Bind, TCPSource, parse_bind
from speedo_trio.io.sockets import (
    check_descriptors,
    open_sockets,
    outlives_us,
    remove_file,
    socket_file,
)

FOREIGN = "192.0.2.1"  # RFC 5737: nobody's


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[socket.socket]]:
    """Every socket that is made during a test, all closed at its end. Async: after Trio's own."""
    made: list[socket.socket] = []

    class Remembered(socket.socket):
        def __init__(self, *args: int, **named: int) -> None:
            super().__init__(*args, **named)
            made.append(self)

    monkeypatch.setattr(socket, "socket", Remembered)
    yield made
    for each in made:
        each.close()


async def open_one(text: str) -> socket.socket:
    """Open the only socket of a bind."""
    with trio.fail_after(5):
        (listening,) = await open_sockets(parse_bind(text), backlog=5)
    return listening


async def refusal(text: str) -> str:
    """What is said of a bind that cannot be opened."""
    with trio.fail_after(5), pytest.raises(BindError) as refused:
        await open_sockets(parse_bind(text), backlog=5)
    return str(refused.value)


def names_in(folder: Path) -> list[str]:
    """What is there."""
    return [path.name for path in folder.iterdir()]


# TCP


async def test_tcp_listens_where_it_says(opened: list[socket.socket]) -> None:
    """One address gives one socket: that accepts, doesn't block, and has the port asked for."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    listening = await open_one(f"tcp://127.0.0.1:{port}")

    assert listening.getsockname() == ("127.0.0.1", port)
    assert not listening.getblocking()
    assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


async def test_peers_that_vanish_are_looked_for() -> None:
    """The kernel asks a peer that is silent for hours whether it is still there."""
    opened = await open_sockets(parse_bind("tcp://127.0.0.1:0"), 10)
    with opened[0] as listening, socket.create_connection(listening.getsockname()):
        await trio.lowlevel.wait_readable(listening)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("tcp://localhost:0", ["127.0.0.1", "::1"]),
        ("tcp://LocalHost:0", ["127.0.0.1", "::1"]),
        ("tcp://:0", ["0.0.0.0", "::"]),
        ("tcp://[::]:0", ["::"]),
        ("tcp://0.0.0.0:0", ["0.0.0.0"]),
    ],
)
async def test_tcp_addresses(text: str, addresses: list[str], opened: list[socket.socket]) -> None:
    """A name that stands for several addresses has one and the same free port on all."""
    sockets = await open_sockets(parse_bind(text), backlog=5)

    names = [listening.getsockname() for listening in sockets]
    assert [name[0] for name in names] == addresses
    assert len({name[1] for name in names}) == 1
    assert names[0][1] > 0


async def test_ipv6_is_ipv6_only(opened: list[socket.socket]) -> None:
    """Both families can have the same port, whatever the system's default."""
    six = await open_one("tcp://[::]:0")
    await open_one(f"tcp://0.0.0.0:{six.getsockname()[1]}")

    assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


async def test_scope_of_a_link_local_address_is_kept(
    monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    """A link-local address is bound on the interface that it names."""
    bound: list[object] = []
    monkeypatch.setattr(socket.socket, "bind", lambda _, name: bound.append(name))
    monkeypatch.setattr(socket.socket, "getsockname", lambda _: ("fe80::1", 7, 0, 1))
    await open_one("tcp://[fe80::1%lo]:7")

    scope = socket.if_nametoindex("lo")
    assert bound[0] in (("fe80::1", 7, 0, scope), ("fe80::1%lo", 7))


async def test_missing_family_is_left_out(
    monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    """A machine without IPv6 listens on IPv4."""
    whole = socket.socket.bind

    def without_six(self: socket.socket, name: tuple[str, int]) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        whole(self, name)

    monkeypatch.setattr(socket.socket, "bind", without_six)
    listening = await open_one("tcp://localhost:0")

    assert listening.family == socket.AF_INET
    assert [each for each in opened if each.fileno() >= 0] == [listening]


async def test_free_port_is_free_for_both_families(
    monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    """When a free port is taken in the other family, another is looked for."""
    whole = socket.socket.bind
    taken = 3

    def with_taken(self: socket.socket, name: tuple[str, int]) -> None:
        nonlocal taken
        if self.family == socket.AF_INET6 and taken:
            taken -= 1
            raise OSError(errno.EADDRINUSE, "Address already in use")
        whole(self, name)

    monkeypatch.setattr(socket.socket, "bind", with_taken)
    sockets = await open_sockets(parse_bind("tcp://localhost:0"), backlog=5)

    assert len({listening.getsockname()[1] for listening in sockets}) == 1
    assert [each for each in opened if each.fileno() >= 0] == sockets


async def test_search_for_a_free_port_ends(
    monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    """When no port is free for both families, that is told, and nothing stays open."""
    whole = socket.socket.bind

    def taken(self: socket.socket, name: tuple[str, int]) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        whole(self, name)

    monkeypatch.setattr(socket.socket, "bind", taken)

    assert await refusal("tcp://localhost:0") == (
        "cannot listen on tcp://localhost:0: Address already in use"
    )
    assert [each for each in opened if each.fileno() >= 0] == []


async def test_port_in_use_is_refused(opened: list[socket.socket]) -> None:
    """The text names the bind; what was opened for it is closed."""
    first = await open_one("tcp://[::1]:0")
    text = f"tcp://localhost:{first.getsockname()[1]}"

    assert await refusal(text) == f"cannot listen on {text}: Address already in use"
    assert [each for each in opened if each.fileno() >= 0] == [first]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"tcp://{FOREIGN}:0", "Cannot assign requested address"),
        ("tcp://[2001:db8::1]:0", "Cannot assign requested address"),
        ("tcp://no-such-host.invalid:80", ""),
        ("tcp://256.256.256.256:80", ""),
        ("tcp://two..dots:80", ""),
        (f"tcp://{'long' * 20}:80", ""),
        ("tcp:// :80", ""),
    ],
)
async def test_addresses_that_are_not_ours_are_refused(
    text: str, reason: str, opened: list[socket.socket]
) -> None:
    """Another machine's address, and names that nobody knows or could have."""
    said = await refusal(text)

    assert said.startswith(f"cannot listen on {text}: ")
    assert reason in said
    assert [each for each in opened if each.fileno() >= 0] == []


async def test_refusal_has_its_cause(opened: list[socket.socket]) -> None:
    """The system's error is behind the BindError."""
    with pytest.raises(BindError) as refused:
        await open_sockets(Bind(TCPSource(FOREIGN, 0)), backlog=5)

    assert isinstance(refused.value.__cause__, OSError)
    assert refused.value.__cause__.errno == errno.EADDRNOTAVAIL


# Unix


@pytest.mark.parametrize(
    ("query", "mode"), [("", 0o600), ("?mode=660", 0o660), ("?mode=0777", 0o777)]
)
async def test_unix_socket_has_its_mode(
    query: str, mode: int, tmp_path: Path, opened: list[socket.socket]
) -> None:
    """Nobody else may connect unless the bind says so."""
    path = tmp_path / "s"
    listening = await open_one(f"unix:{path}{query}")

    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert not listening.getblocking()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


async def test_unix_socket_listens_only_once_it_has_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    """Nobody can connect before the permissions are set."""
    modes: list[int] = []
    whole = socket.socket.listen

    def listen(self: socket.socket, backlog: int) -> None:
        modes.append(stat.S_IMODE((tmp_path / "s").stat().st_mode))
        whole(self, backlog)

    monkeypatch.setattr(socket.socket, "listen", listen)
    await open_one(f"unix:{tmp_path}/s?mode=640")

    assert modes == [0o640]


async def test_stale_unix_socket_is_replaced(tmp_path: Path, opened: list[socket.socket]) -> None:
    """The file of a server that is gone is no hindrance."""
    (await open_one(f"unix:{tmp_path}/s")).close()
    await open_one(f"unix:{tmp_path}/s")

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/s")


async def test_live_unix_socket_is_refused(tmp_path: Path, opened: list[socket.socket]) -> None:
    """A server that listens keeps its path."""
    live = await open_one(f"unix:{tmp_path}/s")

    assert await refusal(f"unix:{tmp_path}/s") == (
        f"cannot listen on unix:{tmp_path}/s: another server listens there"
    )
    assert socket_file(live) is not None
    assert [each for each in opened if each.fileno() >= 0] == [live]


async def test_live_unix_socket_with_a_full_backlog_is_refused(
    tmp_path: Path, opened: list[socket.socket]
) -> None:
    """A server that is too busy to answer keeps its path."""
    busy = socket.socket(socket.AF_UNIX)
    busy.bind(f"{tmp_path}/s")
    busy.listen(0)
    backlog_is_full = False
    while not backlog_is_full:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        backlog_is_full = client.connect_ex(f"{tmp_path}/s") == errno.EAGAIN

    assert "another server listens there" in await refusal(f"unix:{tmp_path}/s")
    assert stat.S_ISSOCK(os.lstat(tmp_path / "s").st_mode)


async def test_datagram_socket_is_refused(tmp_path: Path, opened: list[socket.socket]) -> None:
    """A live socket of another kind keeps its path."""
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(f"{tmp_path}/s")

    assert f"cannot listen on unix:{tmp_path}/s: " in await refusal(f"unix:{tmp_path}/s")
    assert (tmp_path / "s").exists()


async def test_other_files_are_never_removed(tmp_path: Path, opened: list[socket.socket]) -> None:
    """A regular file, a directory and a link that stand there are refused and left alone."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "folder", "link"):
        assert await refusal(f"unix:{tmp_path}/{name}") == (
            f"cannot listen on unix:{tmp_path}/{name}: there is a file that is no socket"
        )

    assert (tmp_path / "file").read_text() == "precious"
    assert (tmp_path / "folder").is_dir()
    assert (tmp_path / "link").is_symlink()


async def test_missing_folder_is_refused(tmp_path: Path, opened: list[socket.socket]) -> None:
    """The text has the bind and the system's reason."""
    assert await refusal(f"unix:{tmp_path}/no/s") == (
        f"cannot listen on unix:{tmp_path}/no/s: No such file or directory"
    )
    assert [each for each in opened if each.fileno() >= 0] == []


# The socket's file


async def test_tcp_sockets_have_no_file(opened: list[socket.socket]) -> None:
    """There is nothing to remove for them."""
    assert socket_file(await open_one("tcp://127.0.0.1:0")) is None


async def test_remove_file_removes_ours(tmp_path: Path, opened: list[socket.socket]) -> None:
    """A server's own file goes; once more does nothing."""
    file = socket_file(await open_one(f"unix:{tmp_path}/s"))

    assert file is not None
    remove_file(file)
    assert names_in(tmp_path) == []
    remove_file(file)


async def test_remove_file_leaves_another_servers_file(
    tmp_path: Path, opened: list[socket.socket]
) -> None:
    """A file that has replaced ours stays."""
    file = socket_file(await open_one(f"unix:{tmp_path}/s"))
    (tmp_path / "s").unlink()
    await open_one(f"unix:{tmp_path}/s")

    assert file is not None
    remove_file(file)
    assert (tmp_path / "s").exists()


# Sockets that were passed


def passed(
    family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, *, listens: bool = True
) -> tuple[int, tuple[str, int]]:
    """A descriptor as another process would leave it, and its name."""
    made = socket.socket(family, kind)
    made.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
    if listens:
        made.listen(5)
    name = made.getsockname()
    return made.detach(), name


def is_open(descriptor: int) -> bool:
    """Whether it is."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


async def test_passed_descriptor_is_taken_over() -> None:
    """As it listens already; it doesn't block, no child gets it, and closing it is ours."""
    descriptor, name = passed()
    os.set_inheritable(descriptor, True)
    taken = await open_one(f"fd://{descriptor}")
    with taken, socket.create_connection(name):
        assert taken.fileno() == descriptor
        assert taken.getsockname() == name
        assert not taken.getblocking()
        assert not os.get_inheritable(descriptor)
        connected, _ = taken.accept()
        connected.close()

    assert not is_open(descriptor)


async def test_passed_unix_socket_is_taken_over(tmp_path: Path) -> None:
    """Whose file is somebody else's."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{tmp_path}/s")
    listening.listen()
    taken = await open_one(f"fd://{listening.detach()}")
    with taken:
        assert taken.getsockname() == f"{tmp_path}/s"

    assert names_in(tmp_path) == ["s"]


@pytest.mark.parametrize(
    ("text", "outlives"),
    [
        ("fd://3", True),
        ("systemd:", True),
        ("systemd+proxy:web", True),
        ("tcp://:1", False),
        ("unix:/s", False),
    ],
)
def test_which_sockets_outlive_us(text: str, outlives: bool) -> None:  # noqa: FBT001  # of a table
    """Those that the process was started with."""
    assert outlives_us(parse_bind(text)) == outlives


NOT_LISTENING = (
    "is no listening stream socket; in a .socket unit, allowed are ListenStream= and Accept=no"
)


async def test_descriptor_that_is_not_open() -> None:
    """The text names it."""
    descriptor, _ = passed()
    os.close(descriptor)

    assert await refusal(f"fd://{descriptor}") == (
        f"cannot listen on fd://{descriptor}: descriptor {descriptor} is not open"
    )


async def test_descriptor_of_a_file(tmp_path: Path) -> None:
    """It stays open: it is not ours."""
    with (tmp_path / "file").open("w") as file:
        number = file.fileno()

        assert await refusal(f"fd://{number}") == (
            f"cannot listen on fd://{number}: descriptor {number} is no socket"
        )
        file.write("still open")


@pytest.mark.parametrize(
    ("family", "kind", "listens"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, False),
        (socket.AF_INET, socket.SOCK_DGRAM, False),
        (socket.AF_UNIX, socket.SOCK_DGRAM, False),
        (socket.AF_UNIX, socket.SOCK_SEQPACKET, True),
    ],
    ids=["not listening", "UDP", "Unix datagrams", "packets"],
)
async def test_socket_of_a_wrong_kind(family: int, kind: int, *, listens: bool) -> None:
    """It stays as it was, for it is not ours. Streams alone keep the order [MQTT-4.2.0-1]."""
    descriptor, _ = passed(family, kind, listens=listens)
    os.set_inheritable(descriptor, True)
    try:
        assert await refusal(f"fd://{descriptor}") == (
            f"cannot listen on fd://{descriptor}: descriptor {descriptor} {NOT_LISTENING}"
        )
        assert os.get_inheritable(descriptor)
        assert os.get_blocking(descriptor)
    finally:
        os.close(descriptor)


async def test_connected_socket() -> None:
    """As inetd passes them: there is nothing to accept."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert NOT_LISTENING in await refusal(f"fd://{ours.fileno()}")


@pytest.fixture
def pass_sockets(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, str]], None]:
    """Has some descriptors been passed by systemd, with their names."""

    def pass_sockets(names: dict[int, str]) -> None:
        monkeypatch.setattr(activation, "_passed", activation._Passed(names))

    return pass_sockets


async def test_sockets_of_systemd(pass_sockets: Callable[[dict[int, str]], None]) -> None:
    """By name, and all that are left."""
    one, other, third = passed(), passed(), passed()
    pass_sockets({one[0]: "web", other[0]: "admin", third[0]: "web"})
    web = await open_sockets(parse_bind("systemd:web"), backlog=5)
    rest = await open_sockets(parse_bind("systemd:"), backlog=5)
    with contextlib.ExitStack() as stack:
        for each in (*web, *rest):
            stack.enter_context(each)

        assert [each.getsockname() for each in web] == [one[1], third[1]]
        assert [each.getsockname() for each in rest] == [other[1]]


async def test_sockets_of_systemd_that_are_not_there(
    pass_sockets: Callable[[dict[int, str]], None],
) -> None:
    """The text names the bind and what was passed."""
    pass_sockets({3: "web"})

    assert await refusal("systemd:wbe") == (
        "cannot listen on systemd:wbe: none of the passed sockets is called 'wbe'; passed was 'web'"
    )


async def test_one_of_systemds_sockets_is_of_a_wrong_kind(
    pass_sockets: Callable[[dict[int, str]], None],
) -> None:
    """Those taken over before it are closed."""
    good, bad = passed(), passed(listens=False)
    pass_sockets({good[0]: "web", bad[0]: "web"})
    try:
        assert NOT_LISTENING in await refusal("systemd:web")
        assert not is_open(good[0])
    finally:
        os.close(bad[0])


def test_descriptor_that_two_binds_have() -> None:
    """They would be one socket with two owners."""
    binds = [parse_bind(text) for text in ("fd://3", "tcp://:1", "tcp://:1", "fd+proxy://3")]
    check_descriptors(binds[:3])
    with pytest.raises(BindError) as refused:
        check_descriptors(binds)

    assert str(refused.value) == ("cannot listen on fd+proxy://3: another bind has that descriptor")


# Several on one port


async def test_reuseport(opened: list[socket.socket]) -> None:
    """Two on one port, if both want it; the kernel gives each its share of the peers."""
    one = await open_one("tcp://127.0.0.1:0?reuseport")
    port = one.getsockname()[1]
    other = await open_one(f"tcp://127.0.0.1:{port}?reuseport")
    assert "in use" in await refusal(f"tcp://127.0.0.1:{port}")

    queued = {one: 0, other: 0}
    for _ in range(60):
        socket.create_connection(("127.0.0.1", port)).close()
        for each in queued:
            try:
                each.accept()[0].close()
            except BlockingIOError:
                continue
            queued[each] += 1
    assert sum(queued.values()) == 60
    assert min(queued.values()) > 5


async def test_reuseport_of_all_addresses(opened: list[socket.socket]) -> None:
    """A bind of several addresses has it for each of them."""
    for each in await open_sockets(parse_bind("tcp://localhost:0?reuseport"), backlog=5):
        assert each.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


async def test_without_reuseport(opened: list[socket.socket]) -> None:
    """A mistake such as starting a server twice is told."""
    one = await open_one("tcp://127.0.0.1:0")
    assert not one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)

    port = one.getsockname()[1]
    assert "in use" in await refusal(f"tcp://127.0.0.1:{port}?reuseport")
