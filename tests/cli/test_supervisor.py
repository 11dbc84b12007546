"""Several processes: who serves, what becomes of one that dies, and how all end. All are real."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import PATIENCE, Process, Start
from tests.cli.test_reload import logged
from tests.cli.test_run import LOCAL, wait_for_socket

ASKED = """
import json
import os
import sys
import time
from pathlib import Path
from attrs import define
from speedo_trio.protocol.framed import LineProtocol
from speedo_trio.protocol.message import Message

if Path("doomed").exists():
    os._exit(7)
if Path("broken").exists():
    raise RuntimeError("broken")

@define
class Question(Message):
    connection: object
    line: bytes
    def execute(self):
        match self.line.decode().split():
            case ["pid"]:
                return str(os.getpid()).encode()
            case ["session"]:
                return str(os.getsid(0)).encode()
            case ["files"]:
                found = Path("/proc/self/fd").iterdir()
                return json.dumps([os.readlink(fd) for fd in found if fd.exists()]).encode()
            case ["environment"]:
                return json.dumps(dict(os.environ)).encode()
            case ["sleep"]:
                self.connection.write(b"asleep\\n")
                time.sleep(60)
            case ["print", text]:
                print(text, flush=True)
                return b""
            case _:
                return self.line

class Asked(LineProtocol):
    def frame(self, payload):
        if payload == b"loop":
            time.sleep(60)
        return Question(self.connection, payload)
    def draining(self):
        self.connection.write(b"bye\\n")
"""
SERVE = ("serve", "asked:Asked", *LOCAL, "--processes", "2")
ALLOWED = "allowed is a whole number from 1 to 2147483647"
QUICK = ("--timeouts.grace", "0.1", "--timeouts.kill-after", "0.1")


@pytest.fixture(autouse=True)
def protocol(clean: None) -> None:
    """The module is in the current directory."""
    Path("asked.py").write_text(ASKED)


class Peer:
    """A connection, and the process that serves it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._lines = self.socket.makefile("rb")
        self.pid = int(self.ask("pid"))

    def ask(self, line: str) -> str:
        """Send a line, receive a line."""
        self.socket.sendall(f"{line}\n".encode())
        return self.line()

    def line(self) -> str:
        """The next line; empty at the end."""
        return self._lines.readline().decode().rstrip("\n")

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


@pytest.fixture
def connect() -> Iterator[Callable[[int], Peer]]:
    """Connects, and closes at the end."""
    peers: list[Peer] = []

    def connect(port: int) -> Peer:
        peers.append(Peer(port))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


Connect = Callable[[int], Peer]


def one_of_each(connect: Connect, port: int, count: int = 2) -> list[Peer]:
    """A connection to each process; which one takes it is the kernel's choice."""
    found: dict[int, Peer] = {}
    deadline = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {list(found)} serve"
        peer = connect(port)
        found.setdefault(peer.pid, peer)
    return list(found.values())


def ready(process: Process) -> int:
    """The port, once all serve."""
    port = process.port()
    assert process.line() == "with 2 processes"
    return port


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """For what happens in other processes."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_serve_and_all_drain(start: Start, connect: Connect) -> None:
    """The port is served by all; a signal to the parent drains all; what is said is said once."""
    process = start(*SERVE)
    peers = one_of_each(connect, ready(process))
    process.send(signal.SIGTERM)
    assert process.line() == "draining 2 processes, up to 10 s; again to stop at once"
    assert [peer.line() for peer in peers] == ["bye", "bye"]
    assert [peer.line() for peer in peers] == ["", ""]
    status, out, err = process.end()

    assert (status, err) == (0, "")
    assert re.fullmatch(
        r"drained \d+ connections in \S+ s, \d+ messages executed, nothing dropped\n", out
    )
    assert not any(is_running(peer.pid) for peer in peers)


def test_a_child_that_is_killed_is_started_again(start: Start, connect: Connect) -> None:
    """Connections of the others go on as if nothing had been."""
    process = start(*SERVE)
    port = ready(process)
    victim, other = one_of_each(connect, port)
    wrong: list[str] = []
    over = threading.Event()

    def load() -> None:
        count = 0
        while not over.is_set():
            count += 1
            if other.ask(f"line {count}") != f"line {count}":
                wrong.append(f"line {count}")

    loading = threading.Thread(target=load)
    loading.start()
    os.kill(victim.pid, signal.SIGKILL)
    line = logged(process)
    assert victim.line() == ""
    peers = [connect(port) for _ in range(20)]
    wait_until(lambda: connect(port).pid not in (victim.pid, other.pid))
    over.set()
    loading.join()

    assert wrong == []
    assert victim.pid not in [peer.pid for peer in peers]
    assert re.fullmatch(
        rf"ERROR speedo_trio: process [12] \(pid {victim.pid}\) was ended by SIGKILL after "
        r"\d\.\d s; it is started again in 0\.1 s",
        line,
    )
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0


def test_one_that_dies_again_and_again_is_started_ever_later(
    start: Start, connect: Connect
) -> None:
    """The others serve on, and it comes back when it can."""
    process = start(*SERVE)
    port = ready(process)
    victim, other = one_of_each(connect, port)
    Path("doomed").touch()
    os.kill(victim.pid, signal.SIGKILL)
    lines = [logged(process) for _ in range(4)]
    Path("doomed").unlink()

    assert [line.rpartition(" in ")[2] for line in lines] == ["0.1 s", "0.2 s", "0.4 s", "0.8 s"]
    assert all("ended with status 7 after" in line for line in lines[1:])
    assert other.ask("hello") == "hello"
    wait_until(lambda: connect(port).pid != other.pid)


def test_a_restart_that_finds_a_mistake_ends_nobody(start: Start, connect: Connect) -> None:
    """Somebody edits the settings while a child dies: that must not end the others."""
    process = start(*SERVE)
    victim, other = one_of_each(connect, ready(process))
    Path("broken").touch()
    os.kill(victim.pid, signal.SIGKILL)
    logged(process)
    assert process.popen.stderr is not None
    assert "RuntimeError: broken" in process.popen.stderr.readline()

    assert "ended with status 2 after" in logged(process)
    assert other.ask("hello") == "hello"


def test_a_child_that_is_drained_by_hand_is_replaced(start: Start, connect: Connect) -> None:
    """So an operator can renew one after another."""
    process = start(*SERVE)
    port = ready(process)
    victim, other = one_of_each(connect, port)
    os.kill(victim.pid, signal.SIGTERM)

    assert victim.line() == "bye"
    assert "ended with status 0 after" in logged(process)
    wait_until(lambda: connect(port).pid not in (victim.pid, other.pid))


def test_the_second_signal_stops_all(start: Start, connect: Connect) -> None:
    """What was cut and dropped is added up."""
    process = start(*SERVE)
    peers = one_of_each(connect, ready(process))
    for peer in peers:
        assert peer.ask("sleep") == "asleep"
    process.send(signal.SIGTERM)
    process.line()
    began = time.monotonic()
    process.send(signal.SIGTERM)
    status, out, err = process.end()

    assert time.monotonic() - began < 5  # the grace is 10 s
    assert (status, err) == (3, "")
    assert re.fullmatch(r"stopped at once: cut \d+ connections, dropped 2 messages\n", out)


def test_status_3_when_one_dropped_something(start: Start, connect: Connect) -> None:
    """The report adds up what all have dropped."""
    process = start(*SERVE, *QUICK)
    sleeper, _ = one_of_each(connect, ready(process))
    assert sleeper.ask("sleep") == "asleep"
    process.send(signal.SIGTERM)
    status, out, _ = process.end()

    assert status == 3
    assert "dropped 1 message and 0 bytes of replies, cut 1 connection, abandoned 1 thr" in out


def test_a_child_that_does_not_end_is_killed(start: Start, connect: Connect) -> None:
    """The time of an end is bounded, whatever a child does."""
    process = start(*SERVE, *QUICK)
    frozen, _ = one_of_each(connect, ready(process))
    os.kill(frozen.pid, signal.SIGSTOP)
    began = time.monotonic()
    process.send(signal.SIGTERM)
    status, _, err = process.end()

    assert 1 < time.monotonic() - began < 6  # 0.1 + 0.1 + 1 s
    assert status == 3
    assert f"(pid {frozen.pid}) was ended by SIGKILL; what it had to do is lost" in err
    assert not is_running(frozen.pid)


def test_children_drain_when_their_parent_is_killed(start: Start, connect: Connect) -> None:
    """Nobody is left who could end them, so they end themselves, in good order."""
    process = start(*SERVE)
    peers = one_of_each(connect, ready(process))
    process.popen.kill()

    assert [peer.line() for peer in peers] == ["bye", "bye"]
    assert [peer.line() for peer in peers] == ["", ""]
    wait_until(lambda: not any(is_running(peer.pid) for peer in peers))


def test_ctrl_c_is_for_the_parent(start: Start, connect: Connect) -> None:
    """A terminal sends it to the whole group; children are in another, and see one order only."""
    process = start(*SERVE, start_new_session=True)
    peers = one_of_each(connect, ready(process))
    os.killpg(process.popen.pid, signal.SIGINT)

    assert [peer.line() for peer in peers] == ["bye", "bye"]
    assert process.end()[0] == 0


# What can't begin


def test_a_mistake_of_all_is_told_once(start: Start) -> None:
    """One child tries first; its status is that of all."""
    Path("broken").touch()
    status, out, err = start(*SERVE).end()

    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("trio-speedo: PROTOCOL: cannot import asked: RuntimeError: broken")


def test_a_child_that_dies_before_it_serves_ends_all(start: Start) -> None:
    """There is no use in trying again what never worked."""
    Path("doomed").touch()
    status, out, err = start(*SERVE).end()

    assert (status, out) == (7, "")
    assert re.fullmatch(
        r"trio-speedo: process 1 \(pid \d+\) ended with status 7 before it served\n", err
    )


def test_a_port_in_use(start: Start) -> None:
    """No child is started for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        status, out, err = start(*SERVE[:2], "--bind", bind, "--processes", "2").end()

    assert (status, out) == (1, "")
    assert err == f"trio-speedo: cannot listen on {bind}: Address already in use\n"


def test_a_signal_while_it_begins(start: Start) -> None:
    """There is nothing to drain, and nothing to tell."""
    Path("asked.py").write_text(
        "import time\nfrom pathlib import Path\nPath('begun').touch()\ntime.sleep(60)\n"
    )
    process = start(*SERVE)
    wait_until(Path("begun").exists)
    process.send(signal.SIGTERM)

    assert process.end() == (0, "", "")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for listed in threads for word in listed.read_text().split()]


# What children have


def test_children_inherit_nothing_but_their_sockets(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    """No file of the parent's, no variable of its own, no socket of a sibling."""
    secret = tmp_path / "secret"
    notify = tmp_path / "notify"
    with secret.open("w") as file, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(notify))
        process = start(
            *SERVE,
            pass_fds=[file.fileno()],
            env={"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "10000000"},
        )
        peers = one_of_each(connect, ready(process))
        files = [json.loads(peer.ask("files")) for peer in peers]
        environment = json.loads(peers[0].ask("environment"))
        heard = [manager.recv(4096).decode() for _ in range(2)]  # the watchdog is fed meanwhile
        assert sum(f"READY=1\nMAINPID={process.popen.pid}" in text for text in heard) == 1

    assert [str(secret) in names for names in files] == [False, False]
    shared = {name for name in files[0] if "socket:" in name} & set(files[1])
    assert len(shared) == 1  # the one that listens
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "_TRIO_SPEEDO_CHILD"} & set(environment)
    assert [peer.ask("session") for peer in peers] == [str(peer.pid) for peer in peers]


def test_what_a_protocol_prints_is_on_stdout(start: Start, connect: Connect) -> None:
    """It is the parent's, and so is stderr."""
    process = start(*SERVE)
    connect(ready(process)).ask("print hello")

    assert process.line() == "hello"


def test_without_stdout_it_serves(start: Start, tmp_path: Path) -> None:
    """What is printed goes nowhere, and into no socket."""
    place = tmp_path / "here"
    words = ("--bind", f"unix:{place}", "--processes", "2")
    process = start("serve", "asked:Asked", *words, preexec_fn=lambda: os.close(1))
    with wait_for_socket(place) as connection:
        connection.sendall(b"print hello\nhello\n")
        assert connection.makefile("rb").read(7) == b"\nhello\n"
    process.send(signal.SIGTERM)
    status, _, err = process.end()

    assert (status, err) == (0, "")


def test_the_file_of_a_unix_socket_is_the_parents(start: Start, tmp_path: Path) -> None:
    """A child that ends leaves it; the parent removes it."""
    place = tmp_path / "here"
    process = start("serve", "asked:Asked", "--bind", f"unix:{place}", "--processes", "2")
    assert process.line() == f"serving asked:Asked on unix:{place}"
    process.line()
    os.kill(children(process.popen.pid)[0], signal.SIGTERM)
    logged(process)
    assert place.exists()
    with wait_for_socket(place) as connection:
        connection.sendall(b"hello\n")
        assert connection.recv(10) == b"hello\n"
    process.send(signal.SIGTERM)

    assert process.end()[0] == 0
    assert not place.exists()


# Reload and log


def test_all_reload_and_tell_it_once(start: Start, connect: Connect) -> None:
    """One after another; what needs a restart is one line."""
    file = Path("server.toml")
    file.write_text("")
    process = start(*SERVE, "--config", "server.toml")
    port = ready(process)
    for peer in one_of_each(connect, port):
        peer.close()
    file.write_text('log_level = "debug"\n[workers]\ncount = 3\n[limits]\nlane_messages = 9\n')
    process.send(signal.SIGHUP)
    lines = [logged(process), logged(process)]
    file.write_text("[limits]\nlane_messages = 0\n")
    process.send(signal.SIGHUP)
    lines.append(logged(process))

    assert lines == [
        "INFO speedo_trio: reconfigured: limits.lane_messages, log_level",
        "WARNING speedo_trio: workers.count changed: needs a restart",
        "ERROR speedo_trio: not reloaded: server.toml: limits.lane_messages is 0; " + ALLOWED,
    ]
    connect(port)
    assert re.match(r"DEBUG \[[12]\] speedo_trio: connection \d+ from", logged(process))


def test_a_reload_that_a_child_refuses(start: Start, connect: Connect) -> None:
    """The first one that can't is the last one that is asked."""
    file = Path("server.toml")
    file.write_text("")
    process = start("serve", *LOCAL, "--processes", "2", "--config", "server.toml")
    port = ready(process)
    Path("broken").touch()
    file.write_text('protocol = "asked:Asked"\n')
    process.send(signal.SIGHUP)

    assert logged(process).startswith(
        "ERROR speedo_trio: not reloaded: process 1: server.toml: protocol: cannot import asked"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"pid\n")
        assert connection.recv(10) == b"pid\n"


def test_json_has_the_number_of_the_process(start: Start, connect: Connect) -> None:
    """The parent's lines have none."""
    process = start(*SERVE, "--log-format", "json", "--log-level", "debug")
    assert process.popen.stderr is not None
    listening = json.loads(process.popen.stderr.readline())
    port = int(listening["addresses"][0].rpartition(":")[2])
    assert json.loads(process.popen.stderr.readline())["message"] == "with 2 processes"
    connect(port).close()
    opened, ended = (json.loads(process.popen.stderr.readline()) for _ in range(2))
    process.send(signal.SIGTERM)
    _, out, err = process.end()
    draining, drained = map(json.loads, err.splitlines())

    assert out == ""
    assert "process" not in listening
    assert opened["event"] == "ConnectionOpened"
    assert opened["process"] == ended["process"]
    assert opened["process"] in (1, 2)
    assert draining["message"].startswith("draining 2 processes, up to 10 s")
    assert drained["report"]["executed"] == 0


def test_a_child_that_is_stuck_is_ended(start: Start, connect: Connect, tmp_path: Path) -> None:
    """When systemd's watchdog is on, a callback that never returns costs its process only."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        process = start(*SERVE, env=environment)
        port = ready(process)
        stuck, other = one_of_each(connect, port)
        stuck.socket.sendall(b"loop\n")

        assert logged(process).endswith(f"(pid {stuck.pid}) has been stuck for 1 s; it is ended")
        assert "was ended by SIGABRT after" in logged(process)
        assert other.ask("hello") == "hello"
        wait_until(lambda: connect(port).pid not in (stuck.pid, other.pid))
