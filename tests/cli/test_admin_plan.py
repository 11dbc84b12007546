"""What the command's settings ask for beside the server, and what they may not ask for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from speedo_trio.cli.admin_plan import AdminPlan, admin_bind
from speedo_trio.cli.app import run
from speedo_trio.cli.mistakes import Mistake

TOKEN = "s3cret"


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `check` says about a mistake; `serve` says the same."""
    assert run(["check", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    "bind", ["tcp://:9293", "tcp://0.0.0.0:9293", "tcp://192.0.2.7:9293", "tcp://a.example:9293"]
)
def test_what_others_can_reach_needs_a_token(capsys: pytest.CaptureFixture[str], bind: str) -> None:
    """It is a mistake not to have one."""
    assert complaint(capsys, "--admin", bind) == (
        f"trio-speedo: --admin: others can reach {bind}, so a token is needed; "
        "set admin_token_file, or listen on localhost or a Unix socket\n"
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]"])
def test_loopback_needs_none(capsys: pytest.CaptureFixture[str], host: str) -> None:
    """Nor do Unix sockets and such as were passed, which are looked at when they are there."""
    for bind in f"tcp://{host}:9293", "unix:/run/admin.sock", "fd://3", "systemd:admin":
        assert run(["check", "--admin", bind]) == 0
        assert f'admin = "{bind}"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot read token: No such file or directory"),
        (b"", "token: the token is not allowed; allowed are printable ASCII and no blanks"),
        (b"\n", "token: the token is not allowed"),
        (b"two words\n", "token: the token is not allowed"),
        (b"two\nlines\n", "token: the token is not allowed"),
        (b"\xff\n", "token: the token is not allowed"),
    ],
)
def test_files_that_hold_no_token(
    capsys: pytest.CaptureFixture[str], content: bytes | None, text: str
) -> None:
    """The place and the file are told, what is in it is not."""
    if content is not None:
        Path("token").write_bytes(content)
    told = complaint(capsys, "--admin", "tcp://:1", "--admin-token-file", "token")

    assert told.startswith("trio-speedo: --admin-token-file: ")
    assert text in told
    assert "two" not in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """As with any file."""
    Path("token").touch(mode=0)

    assert "Permission denied" in complaint(
        capsys, "--admin", "tcp://:1", "--admin-token-file", "token"
    )


def test_a_path_that_no_system_has(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told like any other."""
    Path("given.toml").write_text('admin = "tcp://:1"\nadmin_token_file = "a\\u0000b"\n')

    assert "cannot read" in complaint(capsys, "--config", "given.toml")


def test_the_token_is_in_no_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Only its file is; so `check` has nothing to hide, and can be read back."""
    Path("token").write_text(TOKEN)
    words = ["--admin", "tcp://:9293", "--admin-token-file", "token"]
    assert run(["check", *words]) == 0
    out = capsys.readouterr().out
    Path("effective.toml").write_text(out)

    assert TOKEN not in out
    assert 'admin_token_file = "token"' in out
    assert run(["check", "--config", "effective.toml"]) == 0


def test_none_is_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a flag, a variable and a file."""
    Path("given.toml").write_text('admin = "none"\nadmin_token_file = "none"\n')
    monkeypatch.setenv("TRIO_SPEEDO_ADMIN", "tcp://:1")

    assert run(["check", "--admin", "None"]) == 0
    monkeypatch.setenv("TRIO_SPEEDO_ADMIN", "none")
    assert run(["check", "--config", "given.toml"]) == 0
    assert 'admin = "none"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--admin", "localhost:9293"], "--admin: 'localhost:9293' is no address to listen on"),
        (["--admin", "ws://localhost:1"], "--admin is 'ws://localhost:1'; allowed is an address"),
        (["--admin-token-file", ""], "--admin-token-file is ''; allowed is a path, or none"),
    ],
)
def test_settings_that_are_not_allowed(
    capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    """The flag is told."""
    assert text in complaint(capsys, *words)


@pytest.mark.parametrize("line", ["admin = 5", "admin = true", "admin_token_file = []"])
def test_values_of_another_type(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """A file can have them."""
    Path("given.toml").write_text(line)

    assert "allowed is" in complaint(capsys, "--config", "given.toml")


def test_without_h11(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells what to install."""
    monkeypatch.setitem(sys.modules, "h11", None)

    assert complaint(capsys, "--admin", "tcp://localhost:1") == (
        "trio-speedo: --admin: it needs h11: pip install 'speedo_trio[admin]'\n"
    )


@pytest.mark.parametrize(
    ("bind", "child", "expected"),
    [
        ("tcp://localhost:9293", 1, "tcp://localhost:9293"),
        ("tcp://localhost:9293", 3, "tcp://localhost:9295"),
        ("tcp://[::1]:65534", 2, "tcp://[::1]:65535"),
        ("tcp://localhost:0", 2, "tcp://localhost:0"),
        ("unix:/run/a.sock?mode=660", 1, "unix:/run/a.sock?mode=660"),
        ("unix:/run/a.sock?mode=660", 2, "unix:/run/a.sock.2?mode=660"),
        ("tls://a.example:1?cert=/c.pem", 2, "tls://a.example:2?cert=/c.pem"),
        ("fd://3", 1, "fd://3"),
    ],
)
def test_several_processes_have_one_each(bind: str, child: int, expected: str) -> None:
    """The ports that follow, or paths with a number."""
    assert admin_bind(AdminPlan(bind, None, "--admin"), child) == expected


@pytest.mark.parametrize("bind", ["tcp://localhost:65535", "fd://3", "systemd:admin"])
def test_what_can_be_had_once(bind: str) -> None:
    """There is no port after the last one, and a passed socket is one."""
    with pytest.raises(Mistake, match="--admin: "):
        admin_bind(AdminPlan(bind, None, "--admin"), 2)


def test_there_must_be_room_for_all_processes(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told before any of them starts."""
    assert complaint(capsys, "--admin", "tcp://localhost:65534", "--processes", "3") == (
        "trio-speedo: --admin: no port is left for process 3 after tcp://localhost:65534\n"
    )
    assert "is one socket" in complaint(capsys, "--admin", "fd://3", "--processes", "2")


def test_the_token_is_not_shown_by_the_plan() -> None:
    """A traceback may have the plan in it."""
    assert TOKEN not in repr(AdminPlan("tcp://:1", TOKEN, "--admin"))
