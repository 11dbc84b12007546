"""Socket activation: which descriptors were passed, under which names, and each only once."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from speedo_trio.errors import BindError
from speedo_trio.io import activation
from speedo_trio.io.activation import passed_descriptors
from tests.passing import start_with

VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@pytest.fixture(autouse=True)
def nothing_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not looked yet; what it remembers is forgotten after the test."""
    monkeypatch.setattr(activation, "_passed", activation._Passed())
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def pass_sockets(
    monkeypatch: pytest.MonkeyPatch, count: object, names: str | None = None, pid: object = None
) -> None:
    """Set the environment as systemd would; no descriptor is looked at here."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() if pid is None else pid))
    monkeypatch.setenv("LISTEN_FDS", str(count))
    if names is not None:
        monkeypatch.setenv("LISTEN_FDNAMES", names)


def refusal(name: str = "") -> str:
    """What is said when nothing can be taken."""
    with pytest.raises(BindError) as refused:
        passed_descriptors(name)
    return str(refused.value)


def test_without_a_name_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they were passed, from 3 on."""
    pass_sockets(monkeypatch, 3, "web:admin:web")

    assert passed_descriptors() == [3, 4, 5]


def test_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of that name, and no other; the rest is there for later."""
    pass_sockets(monkeypatch, 4, "web:admin:web:spare")

    assert passed_descriptors("web") == [3, 5]
    assert passed_descriptors("admin") == [4]
    assert passed_descriptors() == [6]


def test_sockets_without_names_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As sd_listen_fds_with_names(3) calls them."""
    pass_sockets(monkeypatch, 2)

    assert refusal("web") == (
        "none of the passed sockets is called 'web'; passed was 'unknown', 'unknown'"
    )
    assert passed_descriptors("unknown") == [3, 4]


def test_each_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes later is told that nothing is left."""
    pass_sockets(monkeypatch, 2, "web:admin")
    passed_descriptors("web")
    assert refusal("web") == "none of the passed sockets is called 'web'; passed was 'admin'"
    passed_descriptors("admin")

    assert refusal("admin") == (
        "none of the passed sockets is called 'admin'; passed was nothing that is not taken yet"
    )
    assert refusal() == "no passed socket is left that is not taken yet"


def test_variables_are_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a child could take them for its own; what was passed is remembered."""
    pass_sockets(monkeypatch, 2, "web:admin")
    passed_descriptors("web")

    assert not {*VARIABLES} & {*os.environ}
    assert passed_descriptors("admin") == [4]


@pytest.mark.parametrize("missing", ["LISTEN_PID", "LISTEN_FDS", None])
def test_nothing_was_passed(missing: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable alone says nothing; the text tells who sets them."""
    if missing is not None:
        pass_sockets(monkeypatch, 1)
        monkeypatch.delenv(missing)

    assert refusal() == (
        "no sockets were passed: LISTEN_PID and LISTEN_FDS are not both set; "
        "a .socket unit or systemd-socket-activate sets them"
    )


def test_sockets_of_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a parent are not ours; they are left as they are."""
    pass_sockets(monkeypatch, 1, pid=1)

    assert refusal() == f"LISTEN_PID is 1, but this process is {os.getpid()}"
    assert os.environ["LISTEN_FDS"] == "1"


@pytest.mark.parametrize("count", ["", "one", "-1", "1.0", " 1", "²", "1000000", "9" * 5000])
def test_count_that_is_none(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text shows what was there."""
    pass_sockets(monkeypatch, count)

    assert refusal() == f"LISTEN_FDS is {count!r}; allowed is a number of sockets"


def test_no_sockets_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero is a number, but nothing to listen on."""
    pass_sockets(monkeypatch, 0)

    assert refusal() == "no passed socket is left that is not taken yet"


@pytest.mark.parametrize(("names", "found"), [("web", 1), ("a:b:c", 3), ("", 1)])
def test_names_that_do_not_fit(names: str, found: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which name is whose could only be guessed."""
    pass_sockets(monkeypatch, 2, names)

    assert refusal() == f"LISTEN_FDNAMES has {found} names for 2 sockets"


def test_refused_environment_can_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered of it."""
    refusal()
    pass_sockets(monkeypatch, 1)

    assert passed_descriptors() == [3]


# In a process of its own


@pytest.fixture
def two_sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that listen."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
    ):
        yield one, other


REPORT = """
import json, os, socket, subprocess, sys
from speedo_trio.io.activation import passed_descriptors
found = [passed_descriptors("six"), passed_descriptors("four")]
names = [socket.socket(fileno=number).getsockname()[:2] for each in found for number in each]
left = [name for name in os.environ if name.startswith("LISTEN_")]
print(json.dumps([found, names, left]))
"""


def test_in_a_process_that_was_started_with_sockets(
    two_sockets: tuple[socket.socket, socket.socket],
) -> None:
    """What systemd does is understood: the sockets are those that were passed."""
    with start_with(two_sockets, "-c", REPORT, names="four:six") as process:
        out, err = process.communicate(timeout=30)

    four, six = (each.getsockname() for each in two_sockets)
    assert (json.loads(out), err) == ([[[4], [3]], [["::1", six[1]], list(four)], []], "")


def test_child_of_a_process_that_was_started_with_sockets(
    two_sockets: tuple[socket.socket, socket.socket],
) -> None:
    """It inherits the variables of a parent that never looked, but the sockets were not for it."""
    child = "from speedo_trio.io.activation import passed_descriptors; passed_descriptors()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with start_with(two_sockets, "-c", parent) as process:
        _, err = process.communicate(timeout=30)

    assert f"BindError: LISTEN_PID is {process.pid}, but this process is " in err
