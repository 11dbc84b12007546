"""The units for systemd: systemd understands them, and so does the command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from speedo_trio.cli.app import run
from speedo_trio.config import Limits, Timeouts
from tests.outside import need

UNITS = Path(__file__).parents[2] / "examples" / "systemd"
PROGRAM = "/opt/speedo/bin/trio-speedo"


def service() -> dict[str, str]:
    """The settings of the service; of a repeated one the last."""
    text = (UNITS / "speedo.service").read_text()
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z]\w+=", line))


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    need("systemd-analyze")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Copies that suit this machine: with a program that is there, and for its systemd."""
    for unit in UNITS.iterdir():
        text = unit.read_text().replace(PROGRAM, sys.executable)
        if int(analyze("--version").stdout.split()[1]) < 253:
            text = text.replace(
                "Type=notify-reload\n", "Type=notify\nExecReload=kill -HUP $MAINPID\n"
            )
        (tmp_path / unit.name).write_text(text)
    return sorted(str(path) for path in tmp_path.iterdir())


def test_systemd_understands_them(units: list[str]) -> None:
    """Without a warning."""
    verified = analyze("verify", *units)

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_the_service_has_few_rights(units: list[str]) -> None:
    """systemd's own score, from 0 to 10, is below 1."""
    scored = analyze("security", "--offline=yes", "--threshold=10", units[0])

    assert scored.returncode == 0, scored.stdout


def test_the_command_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words of ExecStart are those of `serve`."""
    monkeypatch.chdir(tmp_path)
    program, command, *words = service()["ExecStart"].replace("%d", "/run/credentials").split()

    assert (program, command) == (PROGRAM, "serve")
    assert run(["check", *words]) == 0
    assert "systemd+tls:?cert=/run/credentials/cert.pem" in capsys.readouterr().out


def test_there_is_time_to_drain() -> None:
    """systemd waits longer than the server takes by default, and has descriptors for all peers."""
    timeouts = Timeouts()

    assert int(service()["TimeoutStopSec"]) > timeouts.grace + timeouts.kill_after + 1
    assert int(service()["LimitNOFILE"]) > Limits().connections
