"""The command's log: text or JSON, from its level on, and not where somebody else configured it."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Process, Start
from tests.cli.test_run import FAILING, LOCAL, STUCK, ask, wait_for_socket

OWN = """
import logging
logging.basicConfig(level=logging.ERROR, format="mine: %(message)s")
"""


def first(process: Process) -> dict[str, Any]:
    """The next line of a log in JSON."""
    assert process.popen.stderr is not None
    line: dict[str, Any] = json.loads(process.popen.stderr.readline())
    return line


def test_in_json_everything_is_in_the_log(start: Start) -> None:
    """Where it listens, what fails and how it ended, an object a line; nothing is on stdout."""
    Path("failing.py").write_text(FAILING)
    process = start("serve", "failing:Failing", *LOCAL, "--log-format", "json")
    listening = first(process)
    assert (listening["event"], listening["level"]) == ("Listening", "INFO")
    found = re.fullmatch(r"tcp://127.0.0.1:(\d+)", listening["addresses"][0])
    assert found
    with socket.create_connection(("127.0.0.1", int(found[1]))) as connection:
        assert ask(connection, b"x\n") == b""
    process.send(signal.SIGTERM)
    status, out, err = process.end()
    failed, draining, drained = map(json.loads, err.splitlines())

    assert (status, out) == (0, "")
    assert (failed["event"], failed["level"]) == ("ConnectionFailed", "ERROR")
    assert failed["reason"]["error"] == {"type": "RuntimeError", "text": "out of paper"}
    assert failed["traceback"].endswith("RuntimeError: out of paper")
    assert (draining["event"], drained["event"]) == ("DrainStarted", "Drained")
    assert drained["report"]["connections"] == 0


def test_a_hard_stop_in_json(start: Start) -> None:
    """It is told in the log, too."""
    Path("stuck.py").write_text(STUCK)
    process = start("serve", "stuck:Stuck", *LOCAL, "--log-format", "json")
    port = int(first(process)["addresses"][0].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert ask(connection, b"sleep\n") == b"asleep\n"
        process.send(signal.SIGTERM)
        assert first(process)["event"] == "DrainStarted"
        process.send(signal.SIGTERM)
        status, out, err = process.end()

    assert (status, out) == (3, "")
    assert json.loads(err)["message"] == "stopped at once: cut 1 connection, dropped 1 message"


@pytest.mark.parametrize(
    ("level", "lines"),
    [("debug", ["DEBUG", "INFO", "DEBUG"]), ("info", ["INFO"]), ("warning", [])],
)
def test_the_level(start: Start, level: str, lines: list[str]) -> None:
    """What is below it is not written; at debug each connection is."""
    process = start("serve", "log", *LOCAL, "--log-level", level)
    with process.connect() as connection:
        connection.sendall(b"hello\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    process.send(signal.SIGTERM)
    _, _, err = process.end()

    assert [line.split()[2] for line in err.splitlines() if "speedo_trio" in line] == lines


def test_a_module_that_configures_logging_keeps_it(start: Start, tmp_path: Path) -> None:
    """Neither form nor level of the settings apply."""
    Path("failing.py").write_text(OWN + FAILING)
    options = ("--log-format", "json", "--log-level", "debug")
    process = start("serve", "failing:Failing", "--bind", f"unix:{tmp_path}/here", *options)
    with wait_for_socket(tmp_path / "here") as connection:
        assert ask(connection, b"x\n") == b""
    process.send(signal.SIGTERM)
    lines = process.end()[2].splitlines()

    assert lines[0].startswith("mine: connection 1 from unix:")
    assert not any("drained" in line for line in lines)
